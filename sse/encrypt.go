package sse

import (
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"sync"

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
	// NewMD5 makes the hash of ETagMD5; default: crypto/md5. It is for one that
	// hashes several uploads at once, as the instructions of one MD5 keep no
	// processor busy. A hash that is an io.Closer is closed when the upload ends,
	// well or not.
	NewMD5 func() hash.Hash
	// ContentMD5 is what the client sent as Content-MD5, 16 bytes. A body with another
	// MD5 makes the upload fail at its end, with a *RequestError. As there is an MD5
	// then, it is what ETagRandom seals too, as in MinIO.
	ContentMD5 []byte
	// Size is the number of plaintext bytes that the client announced; nil if it
	// announced none. A body of another length makes the upload fail with
	// ErrInvalidRequest at its end.
	Size *int64
	// Workers is how many goroutines may work on a large body inside one call of
	// [Upload.WriteTo], as [stream.Options.Workers] says; one of them is the
	// caller. Body and destination are then used by several of them, one at a
	// time, and hashing runs beside sealing; a checksum and the MD5 run beside each
	// other. Default: the caller alone. Without encryption only the hashes can.
	Workers int
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
	switch {
	case o.Cipher > stream.ChaCha20Poly1305:
		return EncryptOptions{}, fmt.Errorf("%w: unknown cipher %d", ErrInvalidRequest, uint8(o.Cipher))
	case o.Policy < ETagMD5 || o.Policy > ETagSupplied:
		return EncryptOptions{}, fmt.Errorf("%w: unknown ETag policy %d", ErrInvalidRequest, o.Policy)
	case o.Policy == ETagSupplied && len(o.ETag) != md5.Size:
		return EncryptOptions{}, fmt.Errorf("%w: a supplied ETag has %d bytes", ErrInvalidRequest, md5.Size)
	case o.Checksum != NoChecksum && !o.Checksum.known():
		return EncryptOptions{}, fmt.Errorf("%w: unknown checksum type %d", ErrInvalidRequest, uint32(o.Checksum))
	case o.ContentMD5 != nil && len(o.ContentMD5) != md5.Size:
		return EncryptOptions{}, &RequestError{Response: Response{http.StatusBadRequest, "InvalidDigest", "The Content-Md5 you specified is not valid."}}
	case o.ContentMD5 != nil && o.Policy == ETagSupplied && !bytes.Equal(o.ContentMD5, o.ETag):
		return EncryptOptions{}, errBadDigest
	case o.Workers < 0:
		return EncryptOptions{}, fmt.Errorf("%w: %d workers", ErrInvalidRequest, o.Workers)
	case o.Size != nil && *o.Size < 0:
		return EncryptOptions{}, fmt.Errorf("%w: announced size of %d bytes", ErrInvalidRequest, *o.Size)
	}
	opts := *o
	// Used at the end only, when the caller's may hold another one.
	opts.ETag, opts.ContentMD5 = bytes.Clone(o.ETag), bytes.Clone(o.ContentMD5)
	if o.ContentMD5 != nil && o.Policy == ETagRandom {
		opts.Policy = ETagMD5
	}
	return opts, nil
}

var errBadDigest = &RequestError{Response: Response{http.StatusBadRequest, "BadDigest", "The Content-Md5 you specified did not match what we received."}}

// ErrIncompleteUpload is returned by Upload.Metadata before the ciphertext was
// read to its end: the sealed ETag and checksum exist only then.
var ErrIncompleteUpload = errors.New("the upload was not read to its end")

// An Upload is the ciphertext of an object or a part. Read it, or WriteTo, to
// the end; then Metadata has what must be stored beside it. It is not safe for
// concurrent use.
type Upload struct {
	name     ObjectName
	method   Method
	key      objectKey // seals ETag and checksum; its own copy
	opts     EncryptOptions
	envelope envelope // of a part: none

	body    uploadBody
	out     uploadStream
	written int64
	err     error // sticky

	// What exists at the end only. It is here so that a small object needs few
	// allocations.
	finished       bool
	etag           [md5.Size]byte
	sealedETag     [md5.Size + stream.Overhead]byte
	checksum       Checksum
	checksumRecord []byte // sealed, if the object is
}

// Encrypt returns the ciphertext of body and its metadata: request → data key
// → sealed object key → stream. It asks client for one data key, unless the
// request is SSE-C, before it reads body; client may then be nil. The context
// also ends the reading of body.
//
// Errors: ErrInvalidRequest for a request or options that make no sense, and
// *kms.Error of the client.
func Encrypt(ctx context.Context, client *kms.Client, r Request, n ObjectName, body io.Reader, o *EncryptOptions) (*Upload, error) {
	u := &Upload{name: n, method: r.Method}
	var err error
	if u.opts, err = o.orDefault(); err == nil {
		u.key, err = u.envelope.sealNewObjectKey(ctx, client, r, n)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to encrypt %s: %w", n, err)
	}
	return u.begin(ctx, u.key, body)
}

// sealNewObjectKey is steps one to three for whole and multipart objects.
func (e *envelope) sealNewObjectKey(ctx context.Context, client *kms.Client, r Request, n ObjectName) (objectKey, error) {
	if err := r.validate(); err != nil {
		return objectKey{}, err
	}
	key := newObjectKey()
	if err := e.sealObjectKey(ctx, client, r, n, key); err != nil {
		key.Wipe()
		return objectKey{}, err
	}
	return key, nil
}

// sealObjectKey asks for the external key of r and makes e that of key, sealed
// under it.
func (e *envelope) sealObjectKey(ctx context.Context, client *kms.Client, r Request, n ObjectName, key objectKey) error {
	e.method = r.Method
	path := n.path()
	external := r.CustomerKey.Key
	if r.Method != C {
		generated, err := client.GenerateKey(ctx, r.KMSKeyID, associatedData(r.Method, r.Context, n.Bucket, path))
		if err != nil {
			return err
		}
		external = generated.Key.Key
		defer external.Wipe()
		e.kmsKeyID, e.sealedDataKey, e.context = generated.KeyID, generated.Ciphertext, r.Context
	}
	return e.key.seal(key, external, r.Method, path)
}

// EncryptAny is Encrypt, and for a request that asks for no encryption an Upload
// of the plaintext itself, with its ETag and checksum: for backends that store
// both, as [OpenAny] reads both. A request that lost its Method ends up here too,
// so make it with [ParseRequest]. ErrInvalidRequest if it names keys, or is that of
// an operation that makes no object: a part is encrypted as its upload is.
func EncryptAny(ctx context.Context, client *kms.Client, r Request, n ObjectName, body io.Reader, o *EncryptOptions) (*Upload, error) {
	if r.Method != None {
		return Encrypt(ctx, client, r, n, body, o)
	}
	opts, err := o.orDefault()
	if err == nil {
		err = r.validatePlain()
	}
	if err != nil {
		return nil, fmt.Errorf("failed to store %s: %w", n, err)
	}
	return (&Upload{name: n, opts: opts}).begin(ctx, objectKey{}, body)
}

// begin is step four. streamKey is the object key, or that of a part.
func (u *Upload) begin(ctx context.Context, streamKey objectKey, body io.Reader) (*Upload, error) {
	if body == nil {
		u.key.Wipe()
		return nil, u.failed(fmt.Errorf("%w: no body", ErrInvalidRequest))
	}
	u.body = uploadBody{ctx: ctx, src: body, want: -1, parallel: u.opts.Workers > 1}
	if u.opts.Size != nil {
		u.body.want = *u.opts.Size
	}
	if u.opts.Policy == ETagMD5 {
		if u.body.md5 = md5.New(); u.opts.NewMD5 != nil {
			u.body.md5 = u.opts.NewMD5()
		}
		if u.body.md5.Size() != md5.Size {
			u.key.Wipe()
			return nil, u.failed(fmt.Errorf("%w: the hash of NewMD5 is no MD5", ErrInvalidRequest))
		}
	}
	if u.opts.Checksum != NoChecksum {
		u.body.checksum = checksums[u.opts.Checksum].new()
	}
	if u.method == None {
		u.body.unenforced = fips140.Enforced()
		u.out = (*plainUpload)(&u.body)
		return u, nil
	}
	var err error
	u.out, err = stream.NewEncryptReader(streamKey.Bytes(), &u.body, &stream.Options{Cipher: u.opts.Cipher, Workers: u.opts.Workers})
	if err != nil {
		u.key.Wipe()
		return nil, u.failed(err)
	}
	return u, nil
}

func (u *Upload) failed(err error) error {
	if u.method == None {
		return fmt.Errorf("failed to store %s: %w", u.name, err)
	}
	return fmt.Errorf("failed to encrypt %s: %w", u.name, err)
}

// Read returns ciphertext; io.EOF after the last byte of it. Errors stay: those
// of the body and of the context, ErrInvalidRequest for a body of another size
// than announced, stream.ErrTooLarge beyond 2^48 bytes.
func (u *Upload) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.out.Read(p)
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
	n, err := u.out.WriteTo(w)
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
		u.err = u.failed(err)
	}
	u.key.Wipe()
	if c, ok := u.body.md5.(io.Closer); ok {
		c.Close() // what it computed is known or of no use
	}
	return u.err
}

func (u *Upload) finish() error {
	switch u.opts.Policy {
	case ETagSupplied:
		u.etag = [md5.Size]byte(u.opts.ETag)
	case ETagRandom:
		randomETag(&u.etag)
	default:
		u.body.sum(u.body.md5, u.etag[:0])
		if u.opts.ContentMD5 != nil && !bytes.Equal(u.etag[:], u.opts.ContentMD5) {
			return errBadDigest
		}
	}
	if u.method != None {
		if _, err := u.key.sealValue(u.sealedETag[:0], labelETag, u.etag[:]); err != nil {
			return err
		}
	}
	if u.body.checksum != nil {
		var err error
		u.checksum = Checksum{Type: u.opts.Checksum, Value: u.body.sum(u.body.checksum, nil)}
		if u.checksumRecord, err = storedChecksum(u.checksum, u.method, u.key); err != nil {
			return err
		}
	}
	u.finished = true
	return nil
}

// InitialMetadata is what is known before the data: everything but ETag and
// checksum. Nil for a part, and without encryption.
func (u *Upload) InitialMetadata() map[string]string {
	if u.envelope.method == None {
		return nil
	}
	return u.envelope.entries()
}

// Metadata is what must be stored with the object for it to be read again: the
// keys of InitialMetadata, the sealed ETag, the sealed checksum. For a part it
// is only those two; without encryption they are not sealed. ErrIncompleteUpload
// before the end of the ciphertext.
func (u *Upload) Metadata() (map[string]string, error) {
	if !u.finished {
		if u.err != nil && u.err != io.EOF {
			return nil, u.err
		}
		return nil, ErrIncompleteUpload
	}
	m := u.InitialMetadata()
	if m == nil {
		m = make(map[string]string, 2)
	}
	m[metaETag] = u.storedETag().text
	if u.checksumRecord != nil {
		m[metaChecksum] = string(u.checksumRecord)
	}
	return m, nil
}

func (u *Upload) storedETag() storedETag {
	if u.method == None {
		return storedETag{text: hex.EncodeToString(u.etag[:])}
	}
	var room [2 * len(u.sealedETag)]byte
	return storedETag{string(hex.AppendEncode(room[:0], u.sealedETag[:])), u.sealedETag[:]}
}

// ETag is what the client shall see, valid after the end of the ciphertext.
func (u *Upload) ETag() string {
	if !u.finished {
		return ""
	}
	return u.storedETag().display(u.method, u.etag[:])
}

// Checksum is the one that the options asked for, valid after the end of the
// ciphertext; before it, and if they asked for none, its Type is NoChecksum. What
// the client said of it in a header or a trailer is compared by the backend, which
// keeps nothing of an upload that differs.
func (u *Upload) Checksum() Checksum {
	if !u.finished {
		return Checksum{}
	}
	return u.checksum
}

// Size is the number of plaintext bytes read so far; StoredSize that of the
// ciphertext bytes handed out.
func (u *Upload) Size() int64       { return u.body.n }
func (u *Upload) StoredSize() int64 { return u.written }

// KMSKeyID names the key that sealed the object's data key; empty for SSE-C
// and for parts.
func (u *Upload) KMSKeyID() string { return u.envelope.kmsKeyID }

// uploadStream is what an upload hands out.
type uploadStream interface {
	io.Reader
	io.WriterTo
}

// plainUpload is that of an upload without encryption.
type plainUpload uploadBody

func (b *plainUpload) Read(p []byte) (int, error) { return (*uploadBody)(b).Read(p) }

// WriteTo implements io.WriterTo.
func (b *plainUpload) WriteTo(w io.Writer) (int64, error) {
	size := 32 << 10
	if b.parallel {
		size = 2 * worthHashing
	}
	return io.CopyBuffer(onlyWriter{w}, onlyReader{(*uploadBody)(b)}, make([]byte, size))
}

// They keep io.Copy from what else w and b can.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// uploadBody hashes and counts the plaintext on its way into the stream, and
// holds it to the announced size.
type uploadBody struct {
	ctx      context.Context
	src      io.Reader
	md5      hash.Hash
	checksum hash.Hash
	parallel bool // the two hashes may run beside each other
	// In FIPS 140-only mode S3 asks for the MD5 of what is stored in plaintext all the
	// same, and perhaps for a SHA-1: neither protects anything there.
	unenforced bool
	n, want    int64 // want is -1 if unknown
}

// worthHashing is how many bytes make a second goroutine worth its waking.
const worthHashing = 128 << 10

func (b *uploadBody) hash(p []byte) {
	if b.unenforced {
		fips140.WithoutEnforcement(func() { b.write(p) })
		return
	}
	b.write(p)
}

// sum is h.Sum(to).
func (b *uploadBody) sum(h hash.Hash, to []byte) (sum []byte) {
	if b.unenforced {
		fips140.WithoutEnforcement(func() { sum = h.Sum(to) })
		return sum
	}
	return h.Sum(to)
}

func (b *uploadBody) write(p []byte) {
	if b.parallel && b.checksum != nil && b.md5 != nil && len(p) >= worthHashing {
		var beside sync.WaitGroup
		beside.Go(func() { b.checksum.Write(p) })
		b.md5.Write(p)
		beside.Wait()
		return
	}
	if b.checksum != nil {
		b.checksum.Write(p)
	}
	if b.md5 != nil {
		b.md5.Write(p)
	}
}

func (b *uploadBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.src.Read(p)
	b.hash(p[:n])
	b.n += int64(n)
	if b.want >= 0 && (b.n > b.want || err == io.EOF && b.n < b.want) {
		return n, &RequestError{Response{http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"}, fmt.Sprintf("the body has not the %d bytes announced", b.want)}
	}
	return n, err
}
