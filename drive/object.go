package drive

import (
	"strings"
	"time"

	"github.com/objseal/objseal/sse"
)

// An Object is what all drives together know of one name.
type Object struct {
	Bucket string
	Name   string // as S3 clients know it, with the trailing slash if it had one
	// Versions, newest first. There may be none: then Findings say why.
	Versions []*Version
	// Unsettled are versions that too few drives hold: writes that failed and
	// what drives missed. See the package's rules.
	Unsettled []*Version
	// Findings are what is wrong with the copies of the object's metadata.
	Findings []Finding
}

// Latest returns the version that S3 clients saw without asking for one, which may be
// a delete marker; nil if there is none.
func (o *Object) Latest() *Version {
	for _, v := range o.Versions {
		if v.IsLatest {
			return v
		}
	}
	return nil
}

// Version returns the version of that id, "null" for the one without; nil if there is none.
// It does not look into Unsettled.
func (o *Object) Version(id string) *Version {
	for _, v := range o.Versions {
		if v.ID == id {
			return v
		}
	}
	return nil
}

// A VersionType says what a version is.
type VersionType int

const (
	ObjectVersion VersionType = 1 // data
	DeleteMarker  VersionType = 2 // hides what is older
	LegacyVersion VersionType = 3 // data, as servers wrote it before 2020
	FreeVersion   VersionType = 4 // bookkeeping of remote tiers; was never seen by clients
)

// A Version is one version of an object.
type Version struct {
	Bucket, Object string
	ID             string // uuid, or "null"
	Type           VersionType
	IsLatest       bool
	ModTime        time.Time
	// Metadata is all of it, internal entries too, spelled as stored.
	Metadata map[string]string
	Size     int64 // stored bytes, all parts together
	Parts    []sse.Part
	// Inline: the data stands in xl.meta. False for data in part files.
	Inline bool
	// Tier tells where the data went; nil if it was not moved.
	Tier *Tier
	// PurgePending: the server had begun to delete it.
	PurgePending bool

	DataShards, ParityShards int   // M and N
	BlockSize                int64 // of erasure coding
	Pool, Set                int   // where it lies in the Deployment
	Copies                   int   // drives whose xl.meta has exactly this version
	// Findings are what is wrong with its copies. Damage to its data is
	// found by reading.
	Findings []Finding

	set       *set
	dir       string // of the object, below its bucket
	dataDir   string // below dir
	signature [4]byte
	slots     []int    // with this version
	sources   []source // of its shards
	broken    error    // why it cannot be read
	unsettled bool
	name      *sse.ObjectName // of an upload
}

// A Tier is where a transitioned version went.
type Tier struct {
	Name    string
	Object  string // key in the remote bucket
	Version string // id in the remote bucket
	// Restored: x-amz-restore names a local copy. It may have expired and be gone.
	Restored bool
}

// Meta returns a metadata entry, looked up without regard to case: servers
// spelled them differently over the years.
func (v *Version) Meta(name string) (string, bool) {
	if value, ok := v.Metadata[name]; ok {
		return value, true
	}
	for key, value := range v.Metadata {
		if strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}

// ETag is the stored one: that which clients saw, if the version is not encrypted.
func (v *Version) ETag() string {
	tag, _ := v.Meta(metaETag)
	return tag
}

// Stored is the version as package sse takes it.
func (v *Version) Stored() sse.Stored {
	return sse.Stored{Metadata: v.Metadata, Size: v.Size, Parts: v.Parts}
}

// Name is the version's name as package sse takes it.
func (v *Version) Name() sse.ObjectName {
	if v.name != nil {
		return *v.name
	}
	return sse.ObjectName{Bucket: v.Bucket, Object: v.Object}
}

// restored reports whether x-amz-restore names a copy that was complete.
func restored(header string) bool {
	return strings.Contains(header, `ongoing-request="false"`)
}
