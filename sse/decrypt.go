package sse

import (
	"context"
	"fmt"

	"github.com/objseal/objseal/kms"
)

// OpenOptions are the settings of Open. The zero value refuses everything old.
type OpenOptions struct {
	// CustomerKey is the key of an SSE-C object.
	CustomerKey CustomerKey
	// AllowLegacySeal accepts SSE-C keys sealed by DARE-SHA256 (MinIO before
	// 2017), which are bound to no object name.
	AllowLegacySeal bool
	// AllowLegacyStream accepts data in DARE 1.0, which has no end mark: an
	// object cut at a package boundary is seen only by its size.
	AllowLegacyStream bool
	// RequireEncrypted makes OpenAny and ResumeMultipartAny refuse what is not
	// encrypted, as Open and ResumeMultipart always do, with ErrNotEncrypted.
	RequireEncrypted bool
	// SkipContentCheck leaves out the hashing of full reads. Packages are
	// authenticated all the same.
	SkipContentCheck bool
	// Workers is how many goroutines may work on a large stream, or part, inside
	// one call of [Reader.WriteTo], as [stream.Options.Workers] says; one of them
	// is the caller. What Fetch returned and the destination are then used by
	// several of them, one at a time, and hashing runs beside opening.
	// Compressed objects have the caller alone, which is the default.
	Workers int
}

// Description is what metadata tells of an object without any key.
type Description struct {
	Method     Method
	KMSKeyID   string             // of the key that sealed the data key; empty for SSE-C
	Context    kms.AssociatedData // the client's own pairs
	Multipart  bool               // a stream per part
	Compressed bool               // the packages hold S2 streams
	LegacySeal bool               // sealed by DARE-SHA256, see OpenOptions
	Size       int64              // plaintext bytes; not authenticated before a full read
	StoredSize int64              // stored bytes, as the backend said
}

// Describe reads metadata as Open does, and needs no key.
//
// Errors: ErrNotEncrypted if there is no trace of encryption; a *MetadataError
// or other ErrTampered for metadata that no writer makes; ErrUnsupported;
// stream.ErrTruncated for a size that no stream has; ErrInvalidRequest if the
// parts of a multipart object were not given.
func Describe(s Stored) (Description, error) {
	e, err := parseEnvelope(s.Metadata)
	if err != nil {
		return Description{}, err
	}
	l, err := layoutOf(s)
	if err != nil {
		return Description{}, err
	}
	return describe(e, l, s), nil
}

// DescribeKeys is Describe for metadata alone, of an object or of an unfinished
// multipart upload: sizes are not told, and not checked.
func DescribeKeys(metadata map[string]string) (Description, error) {
	e, err := parseEnvelope(metadata)
	if err != nil {
		return Description{}, err
	}
	_, multipart := metadata[metaMultipart]
	compressed, err := compressed(metadata)
	return Description{Method: e.method, KMSKeyID: e.kmsKeyID, Context: e.context, Multipart: multipart, Compressed: compressed, LegacySeal: e.key.legacy}, err
}

func describe(e *envelope, l layout, s Stored) Description {
	return Description{e.method, e.kmsKeyID, e.context, l.spans[0].part != 0, l.compressed, e.key.legacy, l.size, s.Size}
}

// An Object is an opened object: its key is unsealed, its data not yet read.
// It is safe for concurrent use.
type Object struct {
	Description
	name    ObjectName
	plain   bool // not encrypted, see OpenPlain
	key     heldKey
	layout  layout
	opts    OpenOptions
	stored  storedETag
	etag    []byte // the opened one, nil if it is plain
	etagErr error
	sums    []Checksum
	sumsErr error
}

// Open unseals the key of an object: metadata → data key → object key. It asks
// client for one Decrypt, unless the object is SSE-C, and client may then be
// nil. The customer key is checked by unsealing, whatever the object's size.
//
// Objects without encryption are refused with ErrNotEncrypted, so that nobody
// who can strip metadata can make a reader take bytes of his own for sealed
// ones. A backend that stores both kinds branches on that error.
//
// Errors: those of Describe; *kms.Error of the client; ErrNotAuthentic if the
// sealed key does not open; ErrCustomerKeyRequired, ErrCustomerKeyNotApplicable;
// ErrUnsupported for a legacy seal that was not allowed; ErrInvalidRequest for
// options that make no sense.
func Open(ctx context.Context, client *kms.Client, n ObjectName, s Stored, o *OpenOptions) (*Object, error) {
	obj, err := open(ctx, client, n, s, o)
	if err != nil {
		return nil, fmt.Errorf("failed to open %s: %w", n, err)
	}
	return obj, nil
}

func open(ctx context.Context, client *kms.Client, n ObjectName, s Stored, o *OpenOptions) (*Object, error) {
	obj := &Object{name: n}
	if o != nil {
		obj.opts = *o
		obj.opts.CustomerKey = CustomerKey{} // of no more use, and not ours to keep
		if o.Workers < 0 {
			return nil, fmt.Errorf("%w: %d workers", ErrInvalidRequest, o.Workers)
		}
	}
	if _, err := methodOf(s.Metadata); err != nil {
		return nil, err
	}
	var err error
	if obj.layout, err = layoutOf(s); err != nil {
		return nil, err
	}
	key, e, err := unseal(ctx, client, n, s.Metadata, o)
	if err != nil {
		return nil, err
	}
	obj.key.key, obj.Description = key, describe(e, obj.layout, s)

	// A damaged ETag or checksum does not make the data unreadable: it is told
	// where it is asked for, and by full reads.
	if obj.stored, obj.etagErr = parseETag(s.Metadata); obj.etagErr == nil {
		obj.etag, obj.etagErr = obj.stored.open(key, obj.opts.AllowLegacyStream)
	}
	if sealed := s.Metadata[metaChecksum]; sealed != "" {
		records, err := key.openValue(labelChecksum, []byte(sealed), obj.opts.AllowLegacyStream)
		if err != nil {
			obj.sumsErr = fmt.Errorf("failed to open the sealed checksum: %w", err)
		}
		obj.sums = parseChecksums(records)
	}
	return obj, nil
}

// unseal is the way back to the object key, for Open, Rewrap and multipart.
func unseal(ctx context.Context, client *kms.Client, n ObjectName, metadata map[string]string, o *OpenOptions) (objectKey, *envelope, error) {
	if o == nil {
		o = new(OpenOptions)
	}
	e, err := parseEnvelope(metadata)
	switch {
	case err != nil:
		return objectKey{}, nil, err
	case e.key.legacy && !o.AllowLegacySeal:
		return objectKey{}, nil, &MetadataError{metaAlgorithm, "names the legacy seal DARE-SHA256, which is read only if allowed", ErrUnsupported}
	case e.method == C && o.CustomerKey.IsZero():
		return objectKey{}, nil, ErrCustomerKeyRequired
	case e.method != C && !o.CustomerKey.IsZero():
		return objectKey{}, nil, ErrCustomerKeyNotApplicable
	}
	path := n.path()
	external := o.CustomerKey.Key
	if e.method != C {
		dataKey, err := client.Decrypt(ctx, e.kmsKeyID, e.sealedDataKey, associatedData(e.method, e.context, n.Bucket, path))
		if err != nil {
			return objectKey{}, nil, err
		}
		external = dataKey.Key
		defer external.Wipe()
	}
	key, err := e.key.unseal(external, e.method, path)
	return key, e, err
}

// Name is the name the object was opened under.
func (o *Object) Name() ObjectName { return o.name }

// ETag is what S3 clients see. An error means that the sealed ETag was damaged
// or exchanged.
func (o *Object) ETag() (string, error) {
	if o.etagErr != nil {
		return "", fmt.Errorf("object %s: %w", o.name, o.etagErr)
	}
	return o.stored.display(o.Method, o.etag), nil
}

// Checksums are the S3 checksums stored with the object, none if there were
// none. An error means that the sealed record was damaged or exchanged.
func (o *Object) Checksums() ([]Checksum, error) {
	if o.sumsErr != nil {
		return nil, fmt.Errorf("object %s: %w", o.name, o.sumsErr)
	}
	return o.sums, nil
}

// Wipe overwrites the object key. Readers already made go on with their own
// copy; new ones fail.
func (o *Object) Wipe() { o.key.wipe() }
