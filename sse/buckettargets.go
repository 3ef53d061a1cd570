package sse

import (
	"context"
	"encoding/json"
	"fmt"
	"path"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/stream"
)

// maxBucketTargetsMeta bounds the entries of sealed bucket targets, whose
// longest value is a data key's ciphertext in base64.
const maxBucketTargetsMeta = 256 << 10

// bucketTargetsAD is what the data key of bucket targets is bound to: the bucket
// and what is sealed, each under its own name (SSE spec section 14.3).
func bucketTargetsAD(bucket string) kms.AssociatedData {
	const file = "bucket-targets.json"
	return kms.AssociatedData{bucket: bucket, file: file}
}

// OpenBucketTargets returns the remote targets of a bucket with their
// credentials, the one part of a bucket's metadata that MinIO seals. config and
// meta are BucketTargetsConfigJSON and BucketTargetsConfigMetaJSON of its
// .metadata.bin. It asks client for one Decrypt.
//
// Errors: ErrNotEncrypted for a meta without a trace of encryption, where config
// is the plaintext; else those of [Open] and [stream.Open].
func OpenBucketTargets(ctx context.Context, client *kms.Client, bucket string, config, meta []byte) ([]byte, error) {
	targets, err := openBucketTargets(ctx, client, bucket, config, meta)
	if err != nil {
		return nil, fmt.Errorf("failed to open the targets of bucket %q: %w", bucket, err)
	}
	return targets, nil
}

func openBucketTargets(ctx context.Context, client *kms.Client, bucket string, config, meta []byte) ([]byte, error) {
	var m map[string]string
	switch {
	case len(meta) == 0:
		return nil, ErrNotEncrypted
	case len(meta) > maxBucketTargetsMeta:
		return nil, fmt.Errorf("%w: their metadata is longer than any writer makes it", ErrTampered)
	case json.Unmarshal(meta, &m) != nil: // whose words may quote the text at any length
		return nil, fmt.Errorf("%w: their metadata is not a JSON object of strings", ErrTampered)
	}
	e, err := parseEnvelope(m)
	if err != nil {
		return nil, err
	}
	if e.method != S3 {
		return nil, tampered(sealedKeyEntry[e.method], "is present, but bucket targets are sealed as "+S3.String())
	}
	external, err := client.Decrypt(ctx, e.kmsKeyID, e.sealedDataKey, bucketTargetsAD(bucket))
	if err != nil {
		return nil, err
	}
	defer external.Wipe()
	key, err := e.key.unseal(external.Key, S3, path.Join(bucket))
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return stream.Open(nil, key.Bytes(), config, nil)
}

// SealBucketTargets seals remote targets as OpenBucketTargets reads them, under
// the named key, or client's default key if keyID is empty. It asks client for
// one data key.
func SealBucketTargets(ctx context.Context, client *kms.Client, keyID, bucket string, targets []byte) (config, meta []byte, err error) {
	config, meta, err = sealBucketTargets(ctx, client, keyID, bucket, targets)
	if err != nil {
		return nil, nil, fmt.Errorf("failed to seal the targets of bucket %q: %w", bucket, err)
	}
	return config, meta, nil
}

func sealBucketTargets(ctx context.Context, client *kms.Client, keyID, bucket string, targets []byte) (config, meta []byte, err error) {
	if len(targets) == 0 { // would be no bytes at all, which opens as nothing but truncated
		return nil, nil, fmt.Errorf("%w: there are no targets", ErrInvalidRequest)
	}
	generated, err := client.GenerateKey(ctx, keyID, bucketTargetsAD(bucket))
	if err != nil {
		return nil, nil, err
	}
	defer generated.Key.Wipe()
	key := newObjectKey()
	defer key.Wipe()
	e := envelope{method: S3, kmsKeyID: generated.KeyID, sealedDataKey: generated.Ciphertext}
	if err := e.key.seal(key, generated.Key.Key, S3, path.Join(bucket)); err != nil {
		return nil, nil, err
	}
	if config, err = stream.Seal(nil, key.Bytes(), targets, nil); err != nil {
		return nil, nil, err
	}
	meta, err = json.Marshal(e.entries())
	return config, meta, err
}
