package sse

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/stream"
)

// EncryptOptions are the settings of Encrypt and of a part. The zero value is
// what S3 does.
type EncryptOptions struct {
	Cipher   stream.Cipher // of the data; default: by CPU, as it always is for sealed keys and values
	ETag     []byte        // with ETagSupplied: the plaintext's MD5, 16 bytes
	Policy   ETagPolicy    // default: ETagMD5
	Checksum ChecksumType  // also compute, seal and store this one; default: none
	// Size is the number of plaintext bytes that the client announced; nil if it
	// announced none. A body of another length makes the upload fail with
	// ErrInvalidRequest at its end.
	Size *int64
}

// KnownSize is n bytes as [EncryptOptions.Size], and nil for a negative n, which
// is how net/http says that a length is unknown.
func KnownSize(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

// orDefault returns the options that o stands for, or ErrInvalidRequest.
func (o *EncryptOptions) orDefault() (EncryptOptions, error) {
	if o == nil {
		return EncryptOptions{}, nil
	}
	_, known := checksums[o.Checksum]
	switch {
	case o.Cipher > stream.ChaCha20Poly1305:
		return EncryptOptions{}, fmt.Errorf("%w: unknown cipher %d", ErrInvalidRequest, uint8(o.Cipher))
	case o.Policy < ETagMD5 || o.Policy > ETagSupplied:
		return EncryptOptions{}, fmt.Errorf("%w: unknown ETag policy %d", ErrInvalidRequest, o.Policy)
	case o.Policy == ETagSupplied && len(o.ETag) != md5.Size:
		return EncryptOptions{}, fmt.Errorf("%w: a supplied ETag has %d bytes", ErrInvalidRequest, md5.Size)
	case !known && o.Checksum != NoChecksum:
		return EncryptOptions{}, fmt.Errorf("%w: unknown checksum type %d", ErrInvalidRequest, uint32(o.Checksum))
	case o.Size != nil && *o.Size < 0:
		return EncryptOptions{}, fmt.Errorf("%w: announced size of %d bytes", ErrInvalidRequest, *o.Size)
	}
	opts := *o
	opts.ETag = bytes.Clone(o.ETag) // used at the end only, when the caller's may hold another one
	return opts, nil
}

// ErrIncompleteUpload is returned by Upload.Metadata before the ciphertext was
// read to its end: the sealed ETag and checksum exist only then.
var ErrIncompleteUpload = errors.New("the upload was not read to its end")

// An Upload is the ciphertext of an object or a part. Read it, or WriteTo, to
// the end; then Metadata has what must be stored beside it. It is not safe for
// concurrent use.
type Upload struct {
	name    ObjectName
	method  Method
	key     objectKey // seals ETag and checksum; its own copy
	opts    EncryptOptions
	initial map[string]string

	body     *uploadBody
	sealed   *stream.EncryptReader
	written  int64
	finished map[string]string
	etag     string
	err      error // sticky
}

// Encrypt returns the ciphertext of body and its metadata: request → data key
// → sealed object key → stream. It asks client for one data key, unless the
// request is SSE-C, before it reads body; client may then be nil. The context
// also ends the reading of body.
//
// Errors: ErrInvalidRequest for a request or options that make no sense, and
// *kms.Error of the client.
func Encrypt(ctx context.Context, client *kms.Client, r Request, n ObjectName, body io.Reader, o *EncryptOptions) (*Upload, error) {
	opts, err := o.orDefault()
	if err != nil {
		return nil, fmt.Errorf("failed to encrypt %s: %w", n, err)
	}
	key, e, err := sealNewObjectKey(ctx, client, r, n)
	if err != nil {
		return nil, fmt.Errorf("failed to encrypt %s: %w", n, err)
	}
	return newUpload(ctx, n, r.Method, key, key, replaceEnvelope(nil, e), body, opts)
}

// sealNewObjectKey is steps one to three for whole and multipart objects.
func sealNewObjectKey(ctx context.Context, client *kms.Client, r Request, n ObjectName) (objectKey, envelope, error) {
	if err := r.validate(); err != nil {
		return objectKey{}, envelope{}, err
	}
	key := newObjectKey()
	e, err := sealObjectKey(ctx, client, r, n, key)
	return key, e, err
}

// sealObjectKey asks for the external key of r and seals key under it.
func sealObjectKey(ctx context.Context, client *kms.Client, r Request, n ObjectName, key objectKey) (e envelope, err error) {
	e = envelope{method: r.Method}
	external := r.CustomerKey.Key
	if r.Method != C {
		generated, err := client.GenerateKey(ctx, r.KMSKeyID, associatedData(r.Method, r.Context, n))
		if err != nil {
			return envelope{}, err
		}
		external = generated.Key.Key
		defer external.Wipe()
		e.kmsKeyID, e.sealedDataKey, e.context = generated.KeyID, generated.Ciphertext, r.Context
	}
	e.key, err = key.seal(external, r.Method, n)
	return e, err
}

// newUpload is step four. It keeps key; streamKey is the same one, or that of a
// part.
func newUpload(ctx context.Context, n ObjectName, m Method, key, streamKey objectKey, initial map[string]string, body io.Reader, o EncryptOptions) (*Upload, error) {
	if body == nil {
		return nil, fmt.Errorf("failed to encrypt %s: %w: no body", n, ErrInvalidRequest)
	}
	u := &Upload{name: n, method: m, key: key, opts: o, initial: initial}
	u.body = &uploadBody{ctx: ctx, src: body, want: -1}
	if o.Size != nil {
		u.body.want = *o.Size
	}
	if u.opts.Policy == ETagMD5 {
		u.body.md5 = md5.New()
	}
	if u.opts.Checksum != NoChecksum {
		u.body.checksum = checksums[u.opts.Checksum].new()
	}
	var err error
	u.sealed, err = stream.NewEncryptReader(streamKey.Bytes(), u.body, &stream.Options{Cipher: u.opts.Cipher})
	if err != nil {
		key.Wipe()
		return nil, fmt.Errorf("failed to encrypt %s: %w", n, err)
	}
	return u, nil
}

// Read returns ciphertext; io.EOF after the last byte of it. Errors stay: those
// of the body and of the context, ErrInvalidRequest for a body of another size
// than announced, stream.ErrTooLarge beyond 2^48 bytes.
func (u *Upload) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.sealed.Read(p)
	u.written += int64(n)
	return n, u.end(err)
}

// WriteTo writes all of the ciphertext that was not read yet to w. It fails like
// Read, and with the error of w; the upload cannot go on then.
func (u *Upload) WriteTo(w io.Writer) (int64, error) {
	if u.err != nil {
		if u.err == io.EOF {
			return 0, nil
		}
		return 0, u.err
	}
	n, err := u.sealed.WriteTo(w)
	u.written += n
	switch err {
	case nil:
		err = io.EOF // the end
	case io.EOF:
		err = fmt.Errorf("the destination failed: %w", err) // not the end
	}
	if err = u.end(err); err == io.EOF {
		err = nil
	}
	return n, err
}

// end makes every error sticky and the metadata at the end of the stream.
func (u *Upload) end(err error) error {
	if err == nil {
		return nil
	}
	if u.err = io.EOF; err == io.EOF {
		err = u.finish()
	}
	if err != nil {
		u.err = fmt.Errorf("failed to encrypt %s: %w", u.name, err)
	}
	u.key.Wipe()
	return u.err
}

func (u *Upload) finish() error {
	var etag []byte
	switch u.opts.Policy {
	case ETagSupplied:
		etag = u.opts.ETag
	case ETagRandom:
		etag = randomETag()
	default:
		etag = u.body.md5.Sum(nil)
	}
	stored, err := u.key.sealETag(etag)
	if err != nil {
		return err
	}
	m := maps.Clone(u.initial)
	if m == nil {
		m = make(map[string]string, 2)
	}
	m[metaETag] = stored.text
	if u.body.checksum != nil {
		sealed, err := u.key.sealValue(labelChecksum, appendChecksum(nil, u.opts.Checksum, u.body.checksum.Sum(nil)))
		if err != nil {
			return err
		}
		m[metaChecksum] = string(sealed)
	}
	u.etag = stored.display(u.method, etag)
	u.finished = m
	return nil
}

// InitialMetadata is what is known before the data: everything but ETag and
// checksum. Nil for a part.
func (u *Upload) InitialMetadata() map[string]string { return maps.Clone(u.initial) }

// Metadata is what must be stored with the object for it to be read again: the
// keys of InitialMetadata, the sealed ETag, the sealed checksum. For a part it
// is only those two. ErrIncompleteUpload before the end of the ciphertext.
func (u *Upload) Metadata() (map[string]string, error) {
	if u.finished == nil {
		if u.err != nil && u.err != io.EOF {
			return nil, u.err
		}
		return nil, ErrIncompleteUpload
	}
	return maps.Clone(u.finished), nil
}

// ETag is what the client shall see, valid after the end of the ciphertext.
func (u *Upload) ETag() string { return u.etag }

// Size is the number of plaintext bytes read so far; StoredSize that of the
// ciphertext bytes handed out.
func (u *Upload) Size() int64       { return u.body.n }
func (u *Upload) StoredSize() int64 { return u.written }

// KMSKeyID names the key that sealed the object's data key; empty for SSE-C
// and for parts.
func (u *Upload) KMSKeyID() string { return u.initial[metaKMSKeyID] }

// uploadBody hashes and counts the plaintext on its way into the stream, and
// holds it to the announced size.
type uploadBody struct {
	ctx      context.Context
	src      io.Reader
	md5      hash.Hash
	checksum hash.Hash
	n, want  int64 // want is -1 if unknown
}

func (b *uploadBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.src.Read(p)
	if b.md5 != nil {
		b.md5.Write(p[:n])
	}
	if b.checksum != nil {
		b.checksum.Write(p[:n])
	}
	b.n += int64(n)
	if b.want >= 0 && (b.n > b.want || err == io.EOF && b.n < b.want) {
		return n, fmt.Errorf("%w: the body has not the %d bytes announced", ErrInvalidRequest, b.want)
	}
	return n, err
}
