package recovery

import (
	"context"
	"errors"
	"time"

	"github.com/objseal/objseal/sse"
)

// A Sink is where recovered versions go: a directory ([Dir]), a tar stream
// ([Tar]), a bucket of another store. It is called by several goroutines at once,
// but the versions of one object come one after the other, oldest first.
//
// An error that wraps ErrStop ends the whole run: the sink takes nothing more, such as
// a full disk. One that wraps ErrNotTaken says that this sink has no place for
// such a version, and that this is no failure: it is reported as skipped. Any
// other error is that of the one version.
type Sink interface {
	// Put stores a version and returns where it stands, for the report. If body
	// fails, so does Put, and nothing is visible under the final name.
	Put(ctx context.Context, item *Item, body *Body) (path string, err error)

	// Delete stores a delete marker; path is empty if the sink keeps none.
	Delete(ctx context.Context, item *Item) (path string, err error)

	// Close ends the output, such as the end mark of a tar stream. The context
	// is not cancelled because the run was. It is called once, after everything
	// else has returned.
	Close(ctx context.Context) error
}

var (
	// ErrStop: the sink takes nothing more. The run ends, the report stands.
	ErrStop = errors.New("the output takes nothing more")
	// ErrNotTaken: the sink has no place for such a version.
	ErrNotTaken = errors.New("the output has no place for it")
)

// A VerifiedSink is a Sink that cannot take back what it was given: content is read to its
// end and verified once before Put is called, so that Item.SHA256 is known. What
// does not fit in memory is then read twice.
type VerifiedSink interface {
	Sink
	WantsVerified()
}

// A ResumableSink can tell whether what an earlier run stored is still there; what
// is not is recovered again.
type ResumableSink interface {
	Sink
	// Holds reports whether the version with these facts stands at path, as Put
	// returned it. No content is read.
	Holds(ctx context.Context, path string, size int64) bool
}

// An Item is a version on its way to a Sink. It is not changed after Put was
// called with it.
type Item struct {
	Bucket, Object string // as S3 clients know them
	VersionID      string // uuid, or "null"
	UploadID       string // S3's id of an unfinished upload, else empty
	IsLatest       bool
	DeleteMarker   bool
	ModTime        time.Time
	Size           int64 // plaintext bytes
	// Parts of a multipart object, in order, with their plaintext sizes in
	// ActualSize: who uploads the same parts gets the same kind of ETag.
	Parts []sse.Part
	// ETag is what clients saw.
	ETag string
	// ContentType and Headers are what HTTP clients got back; Headers has
	// Cache-Control, Content-Disposition, Content-Encoding, Content-Language,
	// Expires and those of object lock, names in canonical form.
	ContentType string
	Headers     map[string]string
	// UserMetadata under names without X-Amz-Meta-, spelled as stored.
	UserMetadata map[string]string
	// Tags is the tag set in the form of a URL query, as S3 headers have it.
	Tags string
	// Checksums are the S3 checksums of the plaintext that were stored.
	Checksums []sse.Checksum
	// SHA256 of the plaintext, in hexadecimal; only for a VerifiedSink.
	SHA256 string
	// Method and KMSKeyID say how it was encrypted.
	Method   sse.Method
	KMSKeyID string
	// Nested: the drives also have objects below the name of this one, so that
	// it cannot be both a file and a directory.
	Nested bool

	place    string // instead of VersionID in Places
	nameHash string // of an upload whose name is unknown
}
