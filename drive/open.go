package drive

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

// Describe says how the data is protected and which key it takes, and needs no key:
// sse.Describe, and for versions that are not encrypted a Description with
// Method sse.None.
//
// Errors: ErrDeleted for what has no data; those of sse.Describe; ErrUnsupported, ErrDamaged.
func (v *Version) Describe() (sse.Description, error) {
	if err := v.data(); err != nil {
		return sse.Description{}, err
	}
	d, err := sse.Describe(v.Stored())
	if clear := v.sizeInClear(); clear || errors.Is(err, sse.ErrNotEncrypted) {
		o, err := v.openPlain(clear, nil)
		if err != nil {
			return sse.Description{}, err
		}
		return o.Description, nil
	}
	return d, err
}

// data reports why a version has none that could be read.
func (v *Version) data() error {
	switch {
	case v.Type != ObjectVersion && v.Type != LegacyVersion:
		return ErrDeleted
	default:
		return v.broken
	}
}

// OpenOptions are the settings of Version.Open; nil is the zero value.
type OpenOptions struct {
	// CustomerKey is the key of an SSE-C version. It is not looked at otherwise.
	CustomerKey sse.CustomerKey
	// SkipContentCheck leaves out the hashing of full reads.
	SkipContentCheck bool
	// Workers as in sse.OpenOptions.
	Workers int
	// InClear gives the bytes of a version that ErrInClear would refuse.
	InClear bool
	// Deleted gives the data of a version with PurgePending.
	Deleted bool
	// Unsettled gives the data of a version of Object.Unsettled.
	Unsettled bool
}

// Open unseals the version's key, if it is encrypted, and returns its content. Legacy
// seals and streams are accepted. client may be nil if no data key is needed.
//
// Errors: ErrDeleted, ErrTiered, ErrInClear, ErrUnsettled; ErrUnsupported and
// ErrDamaged; those of sse.Open.
func (v *Version) Open(ctx context.Context, client *kms.Client, o *OpenOptions) (*Content, error) {
	if o == nil {
		o = new(OpenOptions)
	}
	c, err := v.open(ctx, client, o)
	if err != nil {
		return nil, fmt.Errorf("failed to open %s, version %s: %w", v.Name(), v.ID, err)
	}
	return c, nil
}

func (v *Version) open(ctx context.Context, client *kms.Client, o *OpenOptions) (*Content, error) {
	switch err := v.data(); {
	case err != nil:
		return nil, err
	case v.PurgePending && !o.Deleted:
		return nil, fmt.Errorf("%w: the server had begun to delete it", ErrDeleted)
	case v.unsettled && !o.Unsettled:
		return nil, ErrUnsettled
	case v.Tier != nil && !v.Tier.Restored:
		return nil, ErrTiered
	case v.Size == 0 && v.Copies < v.DataShards:
		// Shards prove that a version was written; there are none to prove this one.
		return nil, fmt.Errorf("%w: %d good copies of the metadata of the %d it takes", ErrDamaged, v.Copies, v.DataShards)
	}
	clear, err := v.inClear(ctx)
	if err != nil {
		return nil, err
	}
	if clear && !o.InClear {
		return nil, ErrInClear
	}
	if !clear {
		opts := &sse.OpenOptions{AllowLegacySeal: true, AllowLegacyStream: true, SkipContentCheck: o.SkipContentCheck, Workers: o.Workers}
		if d, err := sse.Describe(v.Stored()); err == nil && d.Method == sse.C {
			opts.CustomerKey = o.CustomerKey
		}
		object, err := sse.Open(ctx, client, v.Name(), v.Stored(), opts)
		if err == nil {
			return &Content{Description: object.Description, v: v, object: object}, nil
		}
		if !errors.Is(err, sse.ErrNotEncrypted) {
			return nil, err
		}
	}
	object, err := v.openPlain(clear, o)
	if err != nil {
		return nil, err
	}
	return &Content{Description: object.Description, InClear: clear, v: v, object: object}, nil
}

// openPlain opens a version as one that is not encrypted. The metadata of one in
// clear says that it is, and is cut down to what it would be.
func (v *Version) openPlain(clear bool, o *OpenOptions) (*sse.Object, error) {
	stored := v.Stored()
	if clear {
		stored.Metadata = maps.Clone(stored.Metadata)
		maps.DeleteFunc(stored.Metadata, func(key, _ string) bool {
			return strings.HasPrefix(key, "X-Minio-Internal-Server-Side-Encryption-") || key == "x-minio-internal-crc"
		})
	}
	return sse.OpenPlain(v.Name(), stored, &sse.OpenOptions{SkipContentCheck: o != nil && o.SkipContentCheck})
}

// Content is an opened version. It is safe for concurrent use.
type Content struct {
	sse.Description      // Method sse.None if it is not encrypted
	InClear         bool // see ErrInClear

	v      *Version
	object *sse.Object
}

// ETag is what S3 clients saw.
func (c *Content) ETag() (string, error) { return c.object.ETag() }

// Checksums are the stored S3 checksums.
func (c *Content) Checksums() ([]sse.Checksum, error) { return c.object.Checksums() }

// NewReader returns a reader over a range of the plaintext; sse.Whole is all of it.
func (c *Content) NewReader(ctx context.Context, r sse.Range) (*Reader, error) {
	rd := &Reader{plain: c.Method == sse.None, name: c.v.Name()}
	fetch := func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		stored, err := c.v.fetch(ctx, off, n)
		if err != nil {
			return nil, err
		}
		rd.stored = stored
		return stored, nil
	}
	var err error
	if rd.content, err = c.object.NewReader(ctx, fetch, r); err != nil {
		return nil, err
	}
	return rd, nil
}

// Wipe overwrites the object key.
func (c *Content) Wipe() { c.object.Wipe() }

// A Reader yields verified plaintext. Only io.EOF confirms the whole of it: as sse.Reader.
type Reader struct {
	content *sse.Reader
	stored  *StoredReader // nil if nothing is stored
	plain   bool
	name    sse.ObjectName
}

func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.content.Read(p)
	if err == io.EOF {
		if doubt := r.doubt(); doubt != nil {
			err = doubt
		}
	}
	return n, err
}

// WriteTo implements io.WriterTo.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	n, err := r.content.WriteTo(w)
	if err == nil {
		err = r.doubt()
	}
	return n, err
}

// doubt is the error of content that shards contradicted, if it was not proved otherwise.
func (r *Reader) doubt() error {
	if !r.plain || r.stored == nil || !r.stored.loader.doubtful() || r.Integrity().Level == sse.Content {
		return nil
	}
	return fmt.Errorf("failed to read %s: %w: %w", r.name, ErrDamaged, errContradict)
}

// Size is the number of plaintext bytes that the Reader yields in all.
func (r *Reader) Size() int64 { return r.content.Size() }

// Integrity says what was verified, valid at the end. Of an unencrypted version it has
// sse.Content if its MD5 or checksum was compared, else an empty Level: bitrot
// hashes alone prove no content.
func (r *Reader) Integrity() sse.Integrity {
	i := r.content.Integrity()
	if r.plain && i.Level == sse.Packages {
		i.Level = ""
	}
	return i
}

// Findings are the bad shards met so far.
func (r *Reader) Findings() []Finding {
	if r.stored == nil {
		return nil
	}
	return r.stored.Findings()
}

// Close ends the reading; nothing runs on.
func (r *Reader) Close() error { return r.content.Close() }

// mayBeInClear reports whether metadata looks as that server fault leaves it: an SSE-C
// seal beside a plain ETag. Every rotated SSE-C version looks like that.
func (v *Version) mayBeInClear() bool {
	_, sealed := v.Metadata["X-Minio-Internal-Server-Side-Encryption-Sealed-Key"]
	_, multipart := v.Metadata["X-Minio-Internal-Encrypted-Multipart"]
	tag, err := hex.DecodeString(v.ETag())
	return sealed && !multipart && err == nil && len(tag) == 16 && v.Size > 0
}

// sizeInClear reports whether the stored size alone shows that it is.
func (v *Version) sizeInClear() bool {
	if !v.mayBeInClear() {
		return false
	}
	_, err := stream.DecryptedSize(v.Size)
	return err != nil
}

// inClear reports whether the data is not encrypted, although the metadata says
// SSE-C (SSE spec section 9): no stream has such a size, or its first bytes are not
// those of a package.
func (v *Version) inClear(ctx context.Context) (bool, error) {
	if !v.mayBeInClear() {
		return false, nil
	}
	if v.sizeInClear() {
		return true, nil
	}
	r, err := v.fetch(ctx, 0, min(v.Size, stream.HeaderSize))
	if err != nil {
		return false, err
	}
	defer r.Close()
	head, err := io.ReadAll(r)
	if err != nil {
		return false, err
	}
	return !isPackage(head, v.Size), nil
}

// isPackage reports whether a stream of that size may begin so (DARE sections 2 and 3).
func isPackage(head []byte, size int64) bool {
	if len(head) < stream.HeaderSize {
		return false
	}
	payload := (int64(head[2]) | int64(head[3])<<8) + 1
	if head[1] > 1 || payload > size-stream.Overhead {
		return false
	}
	switch head[0] {
	case 0x10:
		return true
	case 0x20:
		return payload == min(stream.PayloadSize, size-stream.Overhead)
	default:
		return false
	}
}
