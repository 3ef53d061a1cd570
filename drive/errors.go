package drive

import (
	"errors"
	"fmt"
	"strings"

	"github.com/objseal/objseal/sse"
)

// The failures that this package adds to those of sse, kms and stream. All are
// found by errors.Is from the outermost call; [KindOf] sorts any of them.
var (
	// ErrDamaged: fewer good copies or shards than it takes.
	ErrDamaged = errors.New("damaged")
	// ErrUnsupported: a format that is refused or unknown. It is sse's.
	ErrUnsupported = sse.ErrUnsupported
	// ErrTiered: the data was moved to a remote tier; see Version.Tier.
	ErrTiered = errors.New("the data is not on the drives: it was moved to a remote tier")
	// ErrDeleted: a delete marker, a free version, or a version whose deletion
	// the server had begun.
	ErrDeleted = errors.New("deleted")
	// ErrInClear: the metadata says SSE-C, the data is not encrypted. A fault of
	// some servers leaves such versions (SSE spec section 9).
	ErrInClear = errors.New("the data is not encrypted, although its metadata says SSE-C")
	// ErrUnsettled: a version of Object.Unsettled.
	ErrUnsettled = errors.New("the drives do not agree on this version")
	// ErrNotFound: no drive has it.
	ErrNotFound = errors.New("not found on any drive")

	// errInvalid: what was asked makes no sense.
	errInvalid = sse.ErrInvalidRequest

	// ErrForeign: drives of several deployments, and none has the most.
	ErrForeign = errors.New("the drives belong to different deployments")
	// ErrDuplicate: one drive was given twice, or a copy of it.
	ErrDuplicate = errors.New("the same drive twice")
	// ErrNoDrive: nothing given is a drive of MinIO's.
	ErrNoDrive = errors.New("not a MinIO drive")
)

// Kinds of failure beside those of sse.
const (
	KindDamaged   sse.Kind = "damaged"   // fewer good copies or shards than it takes
	KindTiered    sse.Kind = "tiered"    // the data is elsewhere
	KindDeleted   sse.Kind = "deleted"   // there is no data, or it was to go away
	KindInClear   sse.Kind = "in-clear"  // not encrypted under metadata that says it is
	KindNotFound  sse.Kind = "not-found" // not on any drive
	KindUnsettled sse.Kind = "unsettled" // the drives do not agree
)

// KindOf sorts an error of this package or of those below it.
func KindOf(err error) sse.Kind {
	for _, k := range []struct {
		err  error
		kind sse.Kind
	}{
		{ErrTiered, KindTiered}, // may wrap ErrDamaged
		{ErrDamaged, KindDamaged},
		{ErrDeleted, KindDeleted},
		{ErrInClear, KindInClear},
		{ErrUnsettled, KindUnsettled},
		{ErrNotFound, KindNotFound},
		{ErrForeign, sse.KindInvalidRequest},
		{ErrDuplicate, sse.KindInvalidRequest},
		{ErrNoDrive, sse.KindInvalidRequest},
	} {
		if errors.Is(err, k.err) {
			return k.kind
		}
	}
	return sse.KindOf(err)
}

// Problem names a sort of Finding.
type Problem string

const (
	DriveMissing    Problem = "drive-missing"    // a slot for which no drive was given
	DriveForeign    Problem = "drive-foreign"    // of another deployment; left out
	DriveRefused    Problem = "drive-refused"    // unreadable, or of a format that is refused; left out
	DriveAdopted    Problem = "drive-adopted"    // without a good format.json; its objects gave its slot
	MetadataDamaged Problem = "metadata-damaged" // an xl.meta that cannot be used
	MetadataMissing Problem = "metadata-missing" // no xl.meta where other drives have one
	MetadataStale   Problem = "metadata-stale"   // an xl.meta without a version that others have, or with an old one
	WriteUnfinished Problem = "write-unfinished" // a version on too few drives
	ShardDamaged    Problem = "shard-damaged"    // bytes that do not fit their bitrot hash
	ShardMissing    Problem = "shard-missing"    // no file, or one that ends too early
	IndexWrong      Problem = "index-wrong"      // a shard number that the slot of the drive contradicts
	NotRegular      Problem = "not-regular"      // a symbolic link or special file; not followed
	Unreadable      Problem = "unreadable"       // the operating system said no
	DataUnencrypted Problem = "data-unencrypted" // see ErrInClear
)

// A Finding is something wrong that one drive has. What could be read all the
// same was read.
type Finding struct {
	Problem Problem
	Drive   string // root directory, as given to Open; empty if it is no drive's
	Path    string // below the root, with slashes
	Bucket  string
	Object  string
	Version string // id
	Part    int    // number of the part, 0 if it is no part's
	Block   int64  // number of the erasure block within the part, from 0; -1 if it is no block's
	Detail  string // for people
}

func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(string(f.Problem))
	if f.Drive != "" || f.Path != "" {
		fmt.Fprintf(&b, " %q", strings.TrimSuffix(f.Drive+"/"+f.Path, "/"))
	}
	if f.Part > 0 {
		fmt.Fprintf(&b, " part %d", f.Part)
	}
	if f.Part > 0 && f.Block >= 0 {
		fmt.Fprintf(&b, " block %d", f.Block)
	}
	if f.Detail != "" {
		b.WriteString(": " + f.Detail)
	}
	return b.String()
}
