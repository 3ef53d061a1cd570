package objects

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"path"

	"github.com/minio/sio"

	"github.com/objseal/objseal/bench/peers"
	"github.com/objseal/objseal/internal/aead"
)

// The same object, written with sio and the standard library as the author of a
// backend would who knows MinIO's metadata: no work is left out, none is added.
// That it is the same object is tested: each opens what the other has sealed.

const (
	entryIV            = "X-Minio-Internal-Server-Side-Encryption-Iv"
	entryAlgorithm     = "X-Minio-Internal-Server-Side-Encryption-Seal-Algorithm"
	entrySealedKey     = "X-Minio-Internal-Server-Side-Encryption-S3-Sealed-Key"
	entryKeyID         = "X-Minio-Internal-Server-Side-Encryption-S3-Kms-Key-Id"
	entrySealedDataKey = "X-Minio-Internal-Server-Side-Encryption-S3-Kms-Sealed-Key"
	entryETag          = "etag"

	sealAlgorithm = "DAREv2-HMAC-SHA256"
	sealDomain    = "SSE-S3"
	etagLabel     = "SSE-etag"

	dataKeyIV = 16 // bytes
)

type withSIO struct{ key *[peers.KeySize]byte }

func newSIO(key *[peers.KeySize]byte) Codec {
	e := withSIO{key}
	return Codec{Seal: e.seal, Open: e.open}
}

func (e withSIO) seal(o Object, dst io.Writer, body io.Reader, buf []byte) (map[string]string, error) {
	// The data key, and the same sealed under the built-in key.
	dataKey := make([]byte, peers.KeySize)
	rand.Read(dataKey)
	defer clear(dataKey)
	context, err := associatedData(o)
	if err != nil {
		return nil, err
	}
	sealedDataKey, err := e.sealDataKey(dataKey, context)
	if err != nil {
		return nil, err
	}

	// The object key, sealed under a key that is bound to the object's name.
	objectKey, iv := make([]byte, peers.KeySize), make([]byte, 32)
	rand.Read(objectKey)
	rand.Read(iv)
	defer clear(objectKey)
	sealedKey, err := sioSeal(sealingKey(dataKey, iv, o), objectKey)
	if err != nil {
		return nil, err
	}

	// The body.
	var sum hash.Hash
	if o.MD5 {
		sum = md5.New()
		body = io.TeeReader(body, sum)
	}
	r, err := sio.EncryptReader(body, peers.SIOConfig(aead.AES256GCM, objectKey))
	if err != nil {
		return nil, err
	}
	if err := peers.Copy(dst, r, buf); err != nil {
		return nil, err
	}

	// The ETag, sealed under a key of the object key.
	etag := make([]byte, md5.Size)
	if o.MD5 {
		etag = sum.Sum(etag[:0])
	} else {
		rand.Read(etag)
		etag[6] = etag[6]&0x0f | 0x40 // a version 4 UUID, as MinIO makes them
		etag[8] = etag[8]&0x3f | 0x80
	}
	sealedETag, err := sioSeal(mac(objectKey, []byte(etagLabel)), etag)
	if err != nil {
		return nil, err
	}
	b64 := base64.StdEncoding.EncodeToString
	return map[string]string{
		entryIV:            b64(iv),
		entryAlgorithm:     sealAlgorithm,
		entrySealedKey:     b64(sealedKey),
		entryKeyID:         keyName,
		entrySealedDataKey: b64(sealedDataKey),
		entryETag:          hex.EncodeToString(sealedETag),
	}, nil
}

func (e withSIO) open(o Object, dst io.Writer, sealed io.ReaderAt, size int64, metadata map[string]string, buf []byte) error {
	if metadata[entryAlgorithm] != sealAlgorithm || metadata[entryKeyID] != keyName {
		return errors.New("objects: unknown algorithm or key")
	}
	b64 := base64.StdEncoding.DecodeString
	iv, errIV := b64(metadata[entryIV])
	sealedKey, errKey := b64(metadata[entrySealedKey])
	sealedDataKey, errDataKey := b64(metadata[entrySealedDataKey])
	sealedETag, errETag := hex.DecodeString(metadata[entryETag])
	if err := errors.Join(errIV, errKey, errDataKey, errETag); err != nil {
		return err
	}
	context, err := associatedData(o)
	if err != nil {
		return err
	}
	dataKey, err := e.openDataKey(sealedDataKey, context)
	if err != nil {
		return err
	}
	defer clear(dataKey)
	objectKey, err := sioOpen(sealingKey(dataKey, iv, o), sealedKey)
	if err != nil {
		return err
	}
	defer clear(objectKey)
	etag, err := sioOpen(mac(objectKey, []byte(etagLabel)), sealedETag)
	if err != nil {
		return err
	}

	r, err := sio.DecryptReader(io.NewSectionReader(sealed, 0, size), peers.SIOConfig(aead.AES256GCM, objectKey))
	if err != nil {
		return err
	}
	var sum hash.Hash
	if o.MD5 {
		sum = md5.New()
		r = io.TeeReader(r, sum)
	}
	if err := peers.Copy(dst, r, buf); err != nil {
		return err
	}
	if o.MD5 && !bytes.Equal(sum.Sum(nil), etag) {
		return errors.New("objects: the content is not what the ETag says")
	}
	return nil
}

// sealDataKey returns ciphertext, tag, IV and nonce, as MinIO's built-in key does.
func (e withSIO) sealDataKey(dataKey, context []byte) ([]byte, error) {
	var random [dataKeyIV + aead.NonceSize]byte
	rand.Read(random[:])
	iv, nonce := random[:dataKeyIV], random[dataKeyIV:]
	a, err := e.dataKeyCipher(iv)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(dataKey)+aead.TagSize+len(random))
	out = a.Seal(out, nonce, dataKey, context)
	return append(out, random[:]...), nil
}

func (e withSIO) openDataKey(sealed, context []byte) ([]byte, error) {
	n := len(sealed) - dataKeyIV - aead.NonceSize
	if n < 0 {
		return nil, errors.New("objects: the sealed data key is too short")
	}
	a, err := e.dataKeyCipher(sealed[n : n+dataKeyIV])
	if err != nil {
		return nil, err
	}
	return a.Open(nil, sealed[n+dataKeyIV:], sealed[:n], context)
}

func (e withSIO) dataKeyCipher(iv []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(mac(e.key[:], iv))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// associatedData is what the data key is bound to.
func associatedData(o Object) ([]byte, error) {
	return json.Marshal(map[string]string{o.Bucket: path.Join(o.Bucket, o.Name)})
}

func sealingKey(dataKey, iv []byte, o Object) []byte {
	return mac(dataKey, iv, []byte(sealDomain), []byte(sealAlgorithm), []byte(path.Join(o.Bucket, o.Name)))
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// sioSeal seals a key or an ETag in the way in which sio is fastest.
func sioSeal(key, plain []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := sio.EncryptWriter(&out, peers.SIOConfig(aead.AES256GCM, key))
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

func sioOpen(key, sealed []byte) ([]byte, error) {
	return sio.DecryptBuffer(nil, sealed, peers.SIOConfig(aead.AES256GCM, key))
}
