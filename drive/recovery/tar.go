package recovery

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Tar is the Sink of a tar stream: every version is an entry under the first of
// its [Places], in the order in which they are finished. What the report tells of a
// version stands in PAX records of its entry too:
//
//	OBJSEAL.bucket  .object  .version_id  .etag  .content_type  .sha256  .tags
//	OBJSEAL.user_metadata  OBJSEAL.headers    JSON objects
//
// A stream cannot be taken back, so content is verified before its entry begins.
type Tar struct {
	mu  sync.Mutex
	w   *tar.Writer
	err error // the stream is cut
}

// NewTar returns the Sink of a stream to w, which Close ends and leaves open.
func NewTar(w io.Writer) *Tar { return &Tar{w: tar.NewWriter(w)} }

// WantsVerified marks a VerifiedSink.
func (t *Tar) WantsVerified() {}

// Put writes an entry.
func (t *Tar) Put(ctx context.Context, it *Item, body *Body) (string, error) {
	name := Places(it)[0]
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: body.Size(), Mode: 0o600, ModTime: it.ModTime,
		Format: tar.FormatPAX, PAXRecords: records(it)}
	if err := tar.NewWriter(io.Discard).WriteHeader(h); err != nil {
		return "", err // of this version alone: the stream has nothing of it
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = context.Cause(ctx)
	}
	if t.err == nil {
		t.err = t.w.WriteHeader(h)
	}
	if t.err == nil {
		// There is no way to end an entry early: whatever this fails with, the
		// stream ends here.
		_, t.err = body.WriteTo(t.w)
	}
	if t.err == nil {
		t.err = t.w.Flush()
	}
	if t.err != nil {
		return "", fmt.Errorf("%w: %w", ErrStop, t.err)
	}
	return name, nil
}

// records are the PAX records of an item. NUL is the one byte they cannot hold.
func records(it *Item) map[string]string {
	r := make(map[string]string)
	for name, value := range map[string]string{"bucket": it.Bucket, "object": it.Object, "version_id": it.VersionID, "upload_id": it.UploadID,
		"etag": it.ETag, "content_type": it.ContentType, "sha256": it.SHA256, "tags": it.Tags,
		"user_metadata": object(it.UserMetadata), "headers": object(it.Headers)} {
		if value != "" && !strings.ContainsRune(value, 0) {
			r["OBJSEAL."+name] = value
		}
	}
	return r
}

// object is m as a JSON object, empty if m is.
func object(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic("recovery: internal error: a map of strings has no JSON")
	}
	return string(text)
}

// Delete does nothing: tar has no delete markers. The report does.
func (t *Tar) Delete(context.Context, *Item) (string, error) { return "", nil }

// Close writes the end mark, unless the stream was cut.
func (t *Tar) Close(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	return t.w.Close()
}
