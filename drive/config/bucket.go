package config

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/blob"
	"github.com/objseal/objseal/sse"
)

// A Bucket is the metadata of one bucket, except for its remote targets, which
// are an Item of their own.
type Bucket struct {
	Name        string
	Created     time.Time
	LockEnabled bool
	// Settings are those that are set.
	Settings []Setting

	targets, targetsMeta []byte
}

// A Setting is one thing that clients can set on a bucket.
type Setting struct {
	Name      string // such as "policy"
	File      string // a name for it as a file, such as "policy.json"
	Data      []byte // JSON or XML, as S3 has it
	UpdatedAt time.Time
}

// settings are the fields of .metadata.bin (SSE spec section 14.3). The field
// with the time of the last change is called as the setting is, without the
// form of the data, and UpdatedAt.
var settings = []struct{ name, field, updated, file string }{
	{"policy", "PolicyConfigJSON", "PolicyConfigUpdatedAt", "policy.json"},
	{"versioning", "VersioningConfigXML", "VersioningConfigUpdatedAt", "versioning.xml"},
	{"lifecycle", "LifecycleConfigXML", "LifecycleConfigUpdatedAt", "lifecycle.xml"},
	{"object-lock", "ObjectLockConfigXML", "ObjectLockConfigUpdatedAt", "object-lock.xml"},
	{"encryption", "EncryptionConfigXML", "EncryptionConfigUpdatedAt", "encryption.xml"},
	{"tagging", "TaggingConfigXML", "TaggingConfigUpdatedAt", "tagging.xml"},
	{"notification", "NotificationConfigXML", "NotificationConfigUpdatedAt", "notification.xml"},
	{"quota", "QuotaConfigJSON", "QuotaConfigUpdatedAt", "quota.json"},
	{"replication", "ReplicationConfigXML", "ReplicationConfigUpdatedAt", "replication.xml"},
}

const (
	bucketFormat, bucketVersion = 1, 1
	bucketPrefix                = 4
)

// ParseBucket reads a .metadata.bin that somebody else may have written. Fields
// that are not known are left out. The Bucket points into b.
//
// Errors: drive.ErrUnsupported for a newer format, else drive.ErrDamaged.
func ParseBucket(b []byte) (*Bucket, error) {
	if len(b) < bucketPrefix {
		return nil, fmt.Errorf("%w: it ends within its prefix", drive.ErrDamaged)
	}
	if format, version := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:]); format != bucketFormat || version != bucketVersion {
		return nil, fmt.Errorf("%w: bucket metadata of format %d, version %d", drive.ErrUnsupported, format, version)
	}
	data := make(map[string][]byte)
	times := make(map[string]time.Time)
	bucket := new(Bucket)
	n, b, err := msgp.ReadMapHeaderBytes(b[bucketPrefix:])
	for range n { // every turn takes a byte at least, or ends it
		var field []byte
		if field, b, err = msgp.ReadStringZC(b); err != nil {
			break
		}
		switch next := msgp.NextType(b); {
		case string(field) == "LockEnabled" && next == msgp.BoolType:
			bucket.LockEnabled, b, err = msgp.ReadBoolBytes(b)
		case next == msgp.StrType:
			data[string(field)], b, err = msgp.ReadStringZC(b)
		case next == msgp.BinType:
			data[string(field)], b, err = msgp.ReadBytesZC(b)
		case next == msgp.TimeType:
			times[string(field)], b, err = msgp.ReadTimeBytes(b)
		default:
			b, err = msgp.Skip(b)
		}
		if err != nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: bucket metadata: %v", drive.ErrDamaged, err)
	}
	bucket.Name, bucket.Created = string(data["Name"]), times["Created"].UTC()
	for _, s := range settings {
		if text := data[s.field]; len(text) > 0 {
			bucket.Settings = append(bucket.Settings, Setting{s.name, s.file, text, times[s.updated].UTC()})
		}
	}
	bucket.targets, bucket.targetsMeta = data["BucketTargetsConfigJSON"], data["BucketTargetsConfigMetaJSON"]
	return bucket, nil
}

// LookupBucket returns the metadata of one bucket. It needs no key. ErrNotFound of package drive if
// there is none.
func LookupBucket(ctx context.Context, d *drive.Deployment, name string) (*Bucket, error) {
	object, err := d.Lookup(ctx, drive.SystemBucket, bucketsDir+name+bucketObject)
	if err != nil {
		return nil, err
	}
	raw, _, err := read(ctx, object)
	if err != nil {
		return nil, err
	}
	b, err := ParseBucket(raw)
	if err != nil {
		return nil, fmt.Errorf("failed to read %q: %w", object.Name, err)
	}
	return b, nil
}

// Setting is the data of a setting, nil if it is not set.
func (b *Bucket) Setting(name string) []byte {
	for _, s := range b.Settings {
		if s.Name == name {
			return s.Data
		}
	}
	return nil
}

// openTargets returns the remote targets and how they were stored.
func (b *Bucket) openTargets(ctx context.Context, client *kms.Client) ([]byte, blob.Form, string, error) {
	text, err := sse.OpenBucketTargets(ctx, client, b.Name, b.targets, b.targetsMeta)
	if errors.Is(err, sse.ErrNotEncrypted) {
		if !json.Valid(b.targets) {
			return nil, blob.Unknown, "", fmt.Errorf("%w: the targets of bucket %q are neither sealed nor JSON", drive.ErrDamaged, b.Name)
		}
		return b.targets, blob.Plain, "", nil
	}
	return text, blob.Sealed, b.targetsKeyID(), err
}

// targetsKeyID is the name of the key of sealed targets, empty if it cannot be told.
func (b *Bucket) targetsKeyID() string {
	var meta map[string]string
	if json.Unmarshal(b.targetsMeta, &meta) != nil {
		return "" // OpenBucketTargets has told
	}
	d, err := sse.Describe(sse.Stored{Metadata: meta, Size: int64(len(b.targets))})
	if err != nil {
		return ""
	}
	return d.KMSKeyID
}
