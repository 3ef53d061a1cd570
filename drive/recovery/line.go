package recovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/sse"
)

// Status is what became of a version.
type Status string

const (
	OK      Status = "ok"      // recovered; of a delete marker: told, and stored if the Sink has such
	Skipped Status = "skipped" // not asked for; see Line.Kind
	Failed  Status = "error"   // not recovered; see Line.Kind
)

// Kinds of lines beside those of drive and sse.
const (
	// KindOutput: the Sink failed, or has no place for such a version.
	KindOutput sse.Kind = "output"
	// KindDryRun: what a run would recover.
	KindDryRun sse.Kind = "dry-run"
	// KindOther: an error of another sort, such as one of the operating system.
	KindOther sse.Kind = "other"
)

// A Line is what the report says of one version. Names that are not UTF-8, which
// JSON cannot hold, stand in base64 under their name with #base64 appended, beside
// a text with replacement characters.
//
// What is wrong with a drive, or a file on one that belongs to no object, is a line
// without object: Kind is the drive.Problem, Findings has the one finding.
type Line struct {
	Bucket       string            `json:"bucket"`
	Object       string            `json:"object"`
	VersionID    string            `json:"version_id"` // "null" for that without; of an upload "upload:" and its id
	IsLatest     bool              `json:"is_latest"`
	DeleteMarker bool              `json:"delete_marker"`
	Size         int64             `json:"size"`   // plaintext bytes
	SHA256       string            `json:"sha256"` // of the recovered plaintext
	SSE          string            `json:"sse"`    // none, SSE-S3, SSE-KMS, SSE-C
	KMSKeyID     string            `json:"kms_key_id,omitempty"`
	Compressed   bool              `json:"compressed"`
	Parts        int               `json:"parts,omitempty"` // how many; of multipart objects only
	ETag         string            `json:"etag"`            // as clients saw it
	ContentType  string            `json:"content_type,omitempty"`
	UserMetadata map[string]string `json:"user_metadata,omitempty"` // names without X-Amz-Meta-
	Integrity    string            `json:"integrity,omitempty"`     // content, packages
	Path         string            `json:"path,omitempty"`          // in the output
	Status       Status            `json:"status"`
	Kind         sse.Kind          `json:"kind,omitempty"`
	Error        string            `json:"error,omitempty"`

	// What else is known. Findings are problems that were got around, or led to
	// the error: bad shards, damaged metadata.
	ModTime     *time.Time        `json:"mod_time,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Tags        string            `json:"tags,omitempty"`
	Checksums   []string          `json:"checksums,omitempty"` // TYPE:base64
	Evidence    string            `json:"evidence,omitempty"`  // what content rests on
	Warning     string            `json:"warning,omitempty"`
	InClear     bool              `json:"in_clear,omitempty"` // see drive.ErrInClear
	Unsettled   bool              `json:"unsettled,omitempty"`
	Tier        *Tier             `json:"tier,omitempty"`
	PartNumbers []int             `json:"part_numbers,omitempty"` // of uploads only
	PartSizes   []int64           `json:"part_sizes,omitempty"`   // plaintext bytes of these
	Findings    []Finding         `json:"findings,omitempty"`
	// MoreFindings counts those beyond the first hundred.
	MoreFindings int `json:"more_findings,omitempty"`

	BucketBytes []byte `json:"bucket#base64,omitempty"`
	ObjectBytes []byte `json:"object#base64,omitempty"`
	PathBytes   []byte `json:"path#base64,omitempty"`
}

// A Tier says where a transitioned version went.
type Tier struct {
	Name      string `json:"name"`
	Object    string `json:"object"`
	VersionID string `json:"version_id,omitempty"`
}

// A Finding is a drive.Finding in the report.
type Finding struct {
	Problem drive.Problem `json:"problem"`
	Drive   string        `json:"drive,omitempty"`
	Path    string        `json:"path,omitempty"` // on the drive
	Part    int           `json:"part,omitempty"`
	Block   *int64        `json:"block,omitempty"` // from 0
	Detail  string        `json:"detail,omitempty"`
}

// maxFindings bounds the findings of one line: a large object on a drive with a
// bad sector in every block has millions.
const maxFindings = 100

func (l *Line) addFindings(found []drive.Finding) {
	for _, f := range found {
		if len(l.Findings) == maxFindings {
			l.MoreFindings++
			continue
		}
		r := Finding{Problem: f.Problem, Drive: f.Drive, Path: f.Path, Part: f.Part, Detail: f.Detail}
		if f.Part > 0 && f.Block >= 0 {
			r.Block = &f.Block
		}
		l.Findings = append(l.Findings, r)
	}
}

// fail makes the line one of an error.
func (l *Line) fail(kind sse.Kind, err error) {
	if kind == "" {
		kind = KindOther
	}
	l.Status, l.Kind, l.Error = Failed, kind, err.Error()
}

// skip makes the line one of what was not asked for.
func (l *Line) skip(kind sse.Kind, reason string) { l.Status, l.Kind, l.Error = Skipped, kind, reason }

// encode is the line as one line of JSON.
func (l *Line) encode() ([]byte, error) {
	c := *l
	for _, n := range []struct {
		text string
		raw  *[]byte
	}{{c.Bucket, &c.BucketBytes}, {c.Object, &c.ObjectBytes}, {c.Path, &c.PathBytes}} {
		if !utf8.ValidString(n.text) {
			*n.raw = []byte(n.text)
		}
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	err := e.Encode(&c)
	return text.Bytes(), err
}

// decodeLine reads what encode wrote.
func decodeLine(text []byte) (*Line, error) {
	var l Line
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, err
	}
	for _, n := range []struct {
		text *string
		raw  []byte
	}{{&l.Bucket, l.BucketBytes}, {&l.Object, l.ObjectBytes}, {&l.Path, l.PathBytes}} {
		if n.raw != nil {
			*n.text = string(n.raw)
		}
	}
	return &l, nil
}

// uploadID is the version id of an upload's line.
func uploadID(id string) string { return "upload:" + id }

// unsettledID tells a version that the drives do not agree on from that of the same
// id on which they do.
func unsettledID(id string, t time.Time) string {
	return fmt.Sprintf("%s-unsettled-%d", id, t.UnixNano())
}

const userPrefix = "x-amz-meta-"

// passedOn are the entries that HTTP clients get back as headers, besides those
// that have a field of their own, in canonical spelling.
var passedOn = []string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires",
	"X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "X-Amz-Object-Lock-Legal-Hold", "X-Amz-Website-Redirect-Location"}

// newItem is a version as the Sink and the report see it, as far as no key is needed.
func newItem(v *drive.Version) *Item {
	it := &Item{Bucket: v.Bucket, Object: v.Object, VersionID: v.ID, IsLatest: v.IsLatest, DeleteMarker: v.Type == drive.DeleteMarker,
		ModTime: v.ModTime, Parts: v.Parts}
	it.ContentType, _ = v.Meta("content-type")
	it.Tags, _ = v.Meta("x-amz-tagging")
	for _, name := range passedOn {
		if value, ok := v.Meta(name); ok {
			if it.Headers == nil {
				it.Headers = make(map[string]string)
			}
			it.Headers[name] = value
		}
	}
	for name, value := range v.Metadata {
		if len(name) > len(userPrefix) && strings.EqualFold(name[:len(userPrefix)], userPrefix) && !obsolete(name) {
			if it.UserMetadata == nil {
				it.UserMetadata = make(map[string]string)
			}
			it.UserMetadata[name[len(userPrefix):]] = value
		}
	}
	return it
}

// obsolete tells the entries that old clients wrote for sizes before encryption:
// they were never the user's, and anybody could set them (drive spec section 3.1).
func obsolete(name string) bool {
	return strings.EqualFold(name, "X-Amz-Meta-X-Amz-Unencrypted-Content-Length") || strings.EqualFold(name, "X-Amz-Meta-X-Amz-Unencrypted-Content-Md5")
}

// newLine is the line of an item, as far as no key is needed.
func newLine(it *Item, v *drive.Version) *Line {
	l := &Line{Bucket: it.Bucket, Object: it.Object, VersionID: it.VersionID, IsLatest: it.IsLatest, DeleteMarker: it.DeleteMarker,
		ContentType: it.ContentType, UserMetadata: it.UserMetadata, Headers: it.Headers, Tags: it.Tags, SSE: method(sse.None)}
	if !it.ModTime.IsZero() {
		t := it.ModTime.UTC()
		l.ModTime = &t
	}
	if v.Tier != nil {
		l.Tier = &Tier{v.Tier.Name, v.Tier.Object, v.Tier.Version}
	}
	if it.UploadID != "" {
		for _, p := range it.Parts {
			l.PartNumbers = append(l.PartNumbers, p.Number)
			l.PartSizes = append(l.PartSizes, p.ActualSize)
		}
	}
	l.addFindings(v.Findings)
	return l
}

// describe adds what the metadata says of the encryption, which needs no key either.
func (l *Line) describe(d sse.Description, parts int) {
	l.SSE, l.KMSKeyID, l.Compressed, l.Size = method(d.Method), d.KMSKeyID, d.Compressed, d.Size
	if d.Multipart {
		l.Parts = parts
	}
}

func method(m sse.Method) string {
	if m == sse.None {
		return "none"
	}
	return m.String()
}

// text is a checksum as the report has it.
func text(c sse.Checksum) string { return c.Type.String() + ":" + c.String() }

// Describe is the line of a version as far as no key is needed; it has no status
// but where the version cannot be recovered.
func Describe(v *drive.Version) *Line {
	it := newItem(v)
	l := newLine(it, v)
	if it.DeleteMarker {
		return l
	}
	d, err := v.Describe()
	if err != nil {
		l.fail(drive.KindOf(err), err)
		return l
	}
	l.describe(d, len(v.Parts))
	if d.Method == sse.None {
		l.ETag = v.ETag()
	}
	if v.Tier != nil && !v.Tier.Restored {
		l.fail(drive.KindTiered, drive.ErrTiered)
	}
	return l
}
