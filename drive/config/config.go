// Package config opens what a MinIO server keeps for itself on its drives: its
// configuration, users, groups, policies, service accounts, and the metadata of
// its buckets with the credentials of their remote targets.
//
//	drive.Deployment ──► objects of .minio.sys ──► kms/blob: plain, under a data key,
//	or under root credentials ──► Item
//	.metadata.bin ──► Bucket ──► sse: the remote targets ──► Item
//
// Start with [Walk]. What cannot be opened is an Item with an error, and the
// others are opened all the same.
//
// An Item holds secrets in plain text: of users, remote targets, identity
// providers. Printing one shows none of them; [Item.Data] does.
//
// # Not guaranteed
//
// A plain file is returned as it is, whoever wrote it: see [Item.Form]. Of a
// bucket's metadata only the remote targets are authenticated.
package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/blob"
	"github.com/objseal/objseal/sse"
)

// Type says what an Item is.
type Type string

const (
	Server         Type = "config"          // settings of the server
	History        Type = "config-history"  // older settings
	User           Type = "user"            // name and secret key
	ServiceAccount Type = "service-account" // access key and secret key
	STSAccount     Type = "sts-account"     // temporary access key, secret key and token
	Group          Type = "group"           // members
	Policy         Type = "policy"          // document
	PolicyMapping  Type = "policy-mapping"  // which policies a user or group has
	IAMFormat      Type = "iam-format"      // version of the layout
	BucketMetadata Type = "bucket"          // see Bucket
	BucketTargets  Type = "bucket-targets"  // remote targets with their credentials
	Other          Type = "other"           // anything else the server keeps there
)

// An Item is one thing that a server keeps.
type Item struct {
	Type Type
	Name string // of the user, group, policy, bucket and so on; empty if it has none
	Path string // of the object, below .minio.sys
	// Form is how it was stored. Plain is what a server without a key server
	// writes; for one that has one, it is the work of somebody else.
	Form    blob.Form
	KeyID   string // names the key, if Form is Sealed
	ModTime time.Time
	// Data is the plaintext. For BucketMetadata it is the object as stored, and
	// Bucket is what it says.
	Data   []byte
	Bucket *Bucket
	// Err is why there is no Data; drive.KindOf sorts it.
	Err error
	// Findings are what is wrong with single drives.
	Findings []drive.Finding
}

func (i Item) String() string {
	if i.Name == "" {
		return string(i.Type)
	}
	return fmt.Sprintf("%s %q", i.Type, i.Name)
}

// GoString, Format and LogValue keep Data out of logs.
func (i Item) GoString() string             { return i.String() }
func (i Item) Format(s fmt.State, _ rune)   { io.WriteString(s, i.String()) }
func (i Item) LogValue() slog.Value         { return slog.StringValue(i.String()) }
func (i Item) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", string(i.Type)), nil }

// Options are the settings of Walk; nil is the zero value.
type Options struct {
	// RootCredentials are "access key:secret key" of the root user, now and in
	// former times, for files older than key servers. All are tried.
	RootCredentials []string
}

// maxSize bounds what is read of one object. It leaves room for what sealing
// adds to the longest plaintext of package blob.
const maxSize = blob.MaxSize + 2<<20

// Walk calls fn for everything that the server kept, in a fixed order, one at a
// time. client may be nil where nothing is sealed under a data key. An error
// of fn, or of the walk itself, ends it and is returned; what is wrong with
// one object is in its Item.
func Walk(ctx context.Context, d *drive.Deployment, client *kms.Client, o *Options, fn func(*Item) error) error {
	w := walk{client: client, fn: fn}
	if o != nil {
		w.passwords = o.RootCredentials
	}
	for _, prefix := range []string{"config/", bucketsDir} {
		err := d.Walk(ctx, &drive.WalkOptions{Bucket: drive.SystemBucket, Prefix: prefix}, func(object *drive.Object) error {
			return w.object(ctx, object)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type walk struct {
	client    *kms.Client
	passwords []string
	fn        func(*Item) error
}

func (w *walk) object(ctx context.Context, object *drive.Object) error {
	item := &Item{Path: object.Name, Findings: object.Findings}
	var keep bool
	item.Type, item.Name, keep = classify(object.Name)
	latest := object.Latest()
	if !keep || latest != nil && latest.Type == drive.DeleteMarker {
		return nil
	}
	if latest != nil {
		item.ModTime = latest.ModTime
		item.Findings = append(item.Findings, latest.Findings...)
	}
	raw, findings, err := read(ctx, object)
	item.Findings = append(item.Findings, findings...)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
	case item.Type == BucketMetadata:
		return w.bucket(ctx, item, raw)
	default:
		err = w.open(ctx, item, raw)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	item.Err = err
	return w.fn(item)
}

// read returns an object of the server's own as stored, and the damage met. They are not
// encrypted as objects are.
func read(ctx context.Context, object *drive.Object) ([]byte, []drive.Finding, error) {
	raw, findings, err := readVersion(ctx, object)
	if err != nil {
		return nil, findings, fmt.Errorf("failed to read %q: %w", object.Name, err)
	}
	return raw, findings, nil
}

func readVersion(ctx context.Context, object *drive.Object) ([]byte, []drive.Finding, error) {
	v := object.Latest()
	switch {
	case v != nil:
	case len(object.Unsettled) > 0:
		return nil, nil, drive.ErrUnsettled
	case len(object.Findings) > 0:
		return nil, nil, fmt.Errorf("%w: %v", drive.ErrDamaged, object.Findings[0])
	default:
		return nil, nil, drive.ErrDamaged
	}
	content, err := v.Open(ctx, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	defer content.Wipe()
	r, err := content.NewReader(ctx, sse.Whole)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(io.LimitReader(r, maxSize+1))
	if err == nil && b.Len() > maxSize {
		err = blob.ErrTooLarge
	}
	if err != nil {
		return nil, r.Findings(), err
	}
	return b.Bytes(), r.Findings(), nil
}

// open sets what item says from its bytes as stored.
func (w *walk) open(ctx context.Context, item *Item, raw []byte) error {
	item.Form = blob.Detect(raw)
	switch item.Form {
	case blob.Sealed:
		if h, err := blob.Parse(raw); err == nil {
			item.KeyID = h.KeyID
		}
	case blob.Plain:
	default:
		if item.Type == Other { // binary files have no mark that says so
			if text, err := w.password(ctx, item.Path, raw); err == nil {
				item.Data, item.Form = text, blob.Password
				return nil
			}
			item.Data, item.Form = raw, blob.Unknown
			return nil
		}
	}
	var err error
	if item.Form == blob.Password {
		item.Data, err = w.password(ctx, item.Path, raw)
	} else {
		item.Data, _, err = blob.ReadFile(ctx, w.client, item.Path, "", raw)
	}
	return err
}

// password tries the credentials one after the other.
func (w *walk) password(ctx context.Context, path string, raw []byte) (text []byte, err error) {
	for _, p := range append([]string{""}, w.passwords...) {
		if p == "" && len(w.passwords) > 0 {
			continue // it is there for its error
		}
		if text, _, err = blob.ReadFile(ctx, nil, path, p, raw); !errors.Is(err, kms.ErrNotAuthentic) {
			break
		}
	}
	return text, err
}

// bucket calls fn for the metadata of a bucket, and for its remote targets if
// it has some.
func (w *walk) bucket(ctx context.Context, item *Item, raw []byte) error {
	item.Form = blob.Plain
	b, err := ParseBucket(raw)
	if err != nil {
		item.Err = fmt.Errorf("failed to read %q: %w", item.Path, err)
		return w.fn(item)
	}
	if b.Name != item.Name {
		item.Err = fmt.Errorf("failed to read %q: %w: it is of bucket %.100q", item.Path, sse.ErrTampered, b.Name)
		return w.fn(item)
	}
	item.Data, item.Bucket = raw, b
	if err := w.fn(item); err != nil || len(b.targets) == 0 {
		return err
	}
	targets := &Item{Type: BucketTargets, Name: item.Name, Path: item.Path, ModTime: item.ModTime}
	targets.Data, targets.Form, targets.KeyID, targets.Err = b.openTargets(ctx, w.client)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return w.fn(targets)
}

const (
	bucketsDir   = "buckets/"
	bucketObject = "/.metadata.bin"
)

// classify tells what an object is by its name below .minio.sys, and whether it
// is to be kept: usage figures and lists of work to do are not.
func classify(object string) (t Type, name string, keep bool) {
	if rest, ok := strings.CutPrefix(object, bucketsDir); ok {
		if bucket, ok := strings.CutSuffix(rest, bucketObject); ok && !strings.Contains(bucket, "/") {
			return BucketMetadata, bucket, true
		}
		// Servers from before .metadata.bin had a file for each of its fields.
		bucket, file, _ := strings.Cut(rest, "/")
		return Other, "", file != "" && !strings.HasPrefix(bucket, ".") && !strings.HasPrefix(file, ".") && !strings.Contains(file, "/")
	}
	for _, p := range places {
		rest, ok := strings.CutPrefix(object, p.before)
		if !ok {
			continue
		}
		name, ok = strings.CutSuffix(rest, p.after)
		if ok && (name != "") == p.named {
			return p.Type, name, true
		}
	}
	return Other, "", true
}

// places are where things are (SSE spec section 14.1). Names are not escaped,
// and may contain slashes.
var places = []struct {
	before, after string
	named         bool
	Type
}{
	{"config/config.json", "", false, Server},
	{"config/history/", ".kv", true, History},
	{"config/iam/format.json", "", false, IAMFormat},
	{"config/iam/users/", "/identity.json", true, User},
	{"config/iam/service-accounts/", "/identity.json", true, ServiceAccount},
	{"config/iam/sts/", "/identity.json", true, STSAccount},
	{"config/iam/groups/", "/members.json", true, Group},
	{"config/iam/policies/", "/policy.json", true, Policy},
	{"config/iam/policydb/", ".json", true, PolicyMapping}, // the name is of the form users/NAME
}
