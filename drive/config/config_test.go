package config_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/config"
	"github.com/objseal/objseal/drive/drivetest"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/blob"
	"github.com/objseal/objseal/kms/kmstest"
	"github.com/objseal/objseal/sse"
)

// bucketMetadata is a .metadata.bin with these fields.
func bucketMetadata(fields map[string]any) []byte {
	b := []byte{1, 0, 1, 0}
	b = msgp.AppendMapHeader(b, uint32(len(fields)))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		b = msgp.AppendString(b, name)
		var err error
		if b, err = msgp.AppendIntf(b, fields[name]); err != nil {
			panic(err)
		}
	}
	return b
}

type passwordVector struct {
	Password, Plaintext string
	Blob                []byte
}

func passwordVectors(t *testing.T) []passwordVector {
	t.Helper()
	var vectors struct{ Passwords []passwordVector }
	text, err := os.ReadFile("../../kms/blob/testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(text, &vectors)
	}
	if err != nil {
		t.Fatal(err)
	}
	return vectors.Passwords
}

// put writes an object of the server's own.
func put(c *drivetest.Cluster, name string, data []byte) {
	c.Put(drive.SystemBucket, name, drivetest.Version{Parts: [][]byte{data}, Inline: len(data) < 4096, Metadata: map[string]string{"etag": "00000000000000000000000000000000-1"}})
}

func seal(t *testing.T, client *kms.Client, text string, ad kms.AssociatedData) []byte {
	t.Helper()
	b, err := blob.Seal(t.Context(), client, []byte(text), ad, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWalk: everything that a server may have written, in every form, and everything that may be
// wrong with it, side by side.
func TestWalk(t *testing.T) {
	client := kms.NewClient(kmstest.NewBackend("key"), nil)
	c := drivetest.New(t, t.TempDir(), 2, 4)
	v := passwordVectors(t)
	large := `{"version":1,"padding":"` + strings.Repeat("large ", 100_000) + `"}`
	config0 := "config/config.json"
	sealedUser := seal(t, client, `{"version":1}`, blob.AssociatedData("config/iam/users/new/identity.json"))
	damaged := bytes.Clone(sealedUser)
	damaged[len(damaged)-1] ^= 1

	put(c, config0, seal(t, client, large, blob.AssociatedData(config0)))
	put(c, "config/history/one.kv", seal(t, client, "a=b", blob.OldAssociatedData("config/history/one.kv")))
	put(c, "config/iam/format.json", []byte(`{"version":1}`))
	put(c, "config/iam/users/new/identity.json", sealedUser)
	put(c, "config/iam/users/moved/identity.json", sealedUser)
	put(c, "config/iam/users/damaged/identity.json", damaged)
	for i, p := range v {
		put(c, fmt.Sprintf("config/iam/users/password%d/identity.json", i), p.Blob)
	}
	put(c, "config/iam/users/cut/identity.json", []byte{1, 200, 0, 0, 0, '{', 0xff})
	put(c, "config/iam/service-accounts/SA/identity.json", []byte("{}"))
	put(c, "config/iam/sts/STS/identity.json", []byte("{}"))
	put(c, "config/iam/groups/a/b/members.json", []byte("{}")) // names are not escaped
	put(c, "config/iam/policies/p/policy.json", []byte("{}"))
	put(c, "config/iam/policydb/groups/g.json", []byte("{}"))
	put(c, "config/tier-config.bin", append([]byte{1, 0, 1, 0}, bytes.Repeat([]byte{0xff}, 100)...))
	put(c, "config/new-thing", seal(t, client, "x", blob.AssociatedData("config/new-thing")))
	put(c, "buckets/old/policy.json", []byte(`{"a":1}`))
	put(c, "buckets/old/.usage-cache.bin", []byte{0xff})
	put(c, "buckets/.usage.json", []byte("{}"))
	put(c, "pool.bin", []byte{0xff})

	targets, meta, err := sse.SealBucketTargets(t.Context(), client, "key", "sealed", []byte(`{"targets":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	created := time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)
	put(c, "buckets/sealed/.metadata.bin", bucketMetadata(map[string]any{"Name": "sealed", "Created": created, "LockEnabled": true,
		"PolicyConfigJSON": []byte("{}"), "PolicyConfigUpdatedAt": created, "TaggingConfigXML": []byte("<Tagging/>"), "Unknown": []any{1, "x"},
		"BucketTargetsConfigJSON": targets, "BucketTargetsConfigMetaJSON": meta}))
	put(c, "buckets/plain/.metadata.bin", bucketMetadata(map[string]any{"Name": "plain", "BucketTargetsConfigJSON": []byte(`{"targets":null}`)}))
	put(c, "buckets/broken/.metadata.bin", bucketMetadata(map[string]any{"Name": "broken", "BucketTargetsConfigJSON": []byte{0xff}}))
	put(c, "buckets/swapped/.metadata.bin", bucketMetadata(map[string]any{"Name": "sealed", "BucketTargetsConfigJSON": targets, "BucketTargetsConfigMetaJSON": meta}))
	put(c, "buckets/newer/.metadata.bin", []byte{2, 0, 1, 0, 0x80})
	put(c, "buckets/cut/.metadata.bin", []byte{1, 0, 1, 0, 0x81, 0xa4})

	lost(t, c, "config/iam/users/lost/identity.json")
	items := walk(t, c.Drives(), client, &config.Options{RootCredentials: []string{"not:these", v[0].Password}})

	want := map[string]any{ // a text, or the kind of an error
		"config": large, "config-history one": "a=b", "iam-format": `{"version":1}`,
		"user new": `{"version":1}`, "user moved": sse.KindNotAuthentic, "user damaged": sse.KindNotAuthentic, "user cut": sse.KindNotAuthentic,
		"user password0": v[0].Plaintext, "user password1": v[1].Plaintext, "user password2": v[2].Plaintext, "user lost": drive.KindDamaged,
		"service-account SA": "{}", "sts-account STS": "{}", "group a/b": "{}", "policy p": "{}", "policy-mapping groups/g": "{}",
		"bucket-targets sealed": `{"targets":[]}`, "bucket-targets plain": `{"targets":null}`, "bucket-targets broken": drive.KindDamaged,
		"bucket sealed": "", "bucket plain": "", "bucket broken": "", "bucket swapped": sse.KindTampered, "bucket newer": sse.KindUnsupported, "bucket cut": drive.KindDamaged,
		"other": nil,
	}
	for name, w := range want {
		i := items[name]
		if i == nil {
			t.Errorf("there is no %s", name)
			continue
		}
		switch w := w.(type) {
		case string:
			if i.Err != nil || w != "" && string(i.Data) != w {
				t.Errorf("%s: %d bytes, %v", name, len(i.Data), i.Err)
			}
		case sse.Kind:
			if drive.KindOf(i.Err) != w || i.Data != nil {
				t.Errorf("%s: %d bytes, %v, want %s", name, len(i.Data), i.Err, w)
			}
		}
	}
	if len(items) != len(want) {
		t.Errorf("found %q", slices.Sorted(maps.Keys(items)))
	}
	for name, form := range map[string]blob.Form{"config": blob.Sealed, "iam-format": blob.Plain, "user password1": blob.Password, "bucket-targets sealed": blob.Sealed, "bucket-targets plain": blob.Plain} {
		if i := items[name]; i.Form != form || (form == blob.Sealed) != (i.KeyID == "key") {
			t.Errorf("%s is said to be %s under key %q", name, i.Form, i.KeyID)
		}
	}
	b := items["bucket sealed"].Bucket
	if !b.Created.Equal(created) || !b.LockEnabled || len(b.Settings) != 2 || b.Settings[0].Name != "policy" || !b.Settings[0].UpdatedAt.Equal(created) || string(b.Settings[1].Data) != "<Tagging/>" {
		t.Errorf("bucket: %+v", b)
	}
}

// lost leaves of an object what no drive can read.
func lost(t *testing.T, c *drivetest.Cluster, name string) {
	t.Helper()
	put(c, name, []byte("{}"))
	for _, root := range c.Drives() {
		path := filepath.Join(root, drive.SystemBucket, filepath.FromSlash(name), "xl.meta")
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			b[20] ^= 1
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestOther: what has no type of its own is returned, text or not, opened if it is sealed.
func TestOther(t *testing.T) {
	client := kms.NewClient(kmstest.NewBackend("key"), nil)
	c := drivetest.New(t, t.TempDir(), 1, 1)
	binary := append([]byte{1, 0, 1, 0}, bytes.Repeat([]byte{0xff}, 100)...)
	for name, data := range map[string][]byte{
		"config/tier-config.bin":  binary,
		"config/new-thing":        seal(t, client, "x", blob.AssociatedData("config/new-thing")),
		"config/text":             []byte("text"),
		"buckets/old/policy.json": []byte("{}"),
		"buckets/old/.cache.bin":  binary,
		"buckets/old/a/b":         binary,
		"buckets/.usage.json":     []byte("{}"),
		"pool.bin":                binary,
	} {
		put(c, name, data)
	}
	got := make(map[string]string)
	d, err := drive.Open(t.Context(), c.Drives(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	err = config.Walk(t.Context(), d, client, nil, func(i *config.Item) error {
		if i.Type != config.Other || i.Err != nil {
			t.Errorf("%s: %v, %v", i.Path, i, i.Err)
		}
		got[i.Path] = string(i.Data)
		return nil
	})
	want := map[string]string{"config/tier-config.bin": string(binary), "config/new-thing": "x", "config/text": "text", "buckets/old/policy.json": "{}"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWithoutKeys(t *testing.T) {
	client := kms.NewClient(kmstest.NewBackend("key"), nil)
	c := drivetest.New(t, t.TempDir(), 1, 1)
	put(c, "config/config.json", seal(t, client, "{}", blob.AssociatedData("config/config.json")))
	put(c, "config/iam/users/old/identity.json", passwordVectors(t)[0].Blob)
	put(c, "config/iam/users/plain/identity.json", []byte("{}"))
	items := walk(t, c.Drives(), nil, nil)
	for name, kind := range map[string]sse.Kind{"config": sse.KindNotConfigured, "user old": sse.KindNotConfigured, "user plain": sse.KindNone} {
		if i := items[name]; i == nil || drive.KindOf(i.Err) != kind {
			t.Errorf("%s: %v", name, i)
		}
	}
	items = walk(t, c.Drives(), nil, &config.Options{RootCredentials: []string{"wrong:one"}})
	if i := items["user old"]; drive.KindOf(i.Err) != sse.KindNotAuthentic {
		t.Errorf("wrong credentials: %v", i.Err)
	}
}

func TestLookupBucket(t *testing.T) {
	c := drivetest.New(t, t.TempDir(), 1, 4)
	put(c, "buckets/b/.metadata.bin", bucketMetadata(map[string]any{"Name": "b", "VersioningConfigXML": []byte("<x/>")}))
	put(c, "buckets/newer/.metadata.bin", []byte{2, 0, 1, 0, 0x80})
	lost(t, c, "buckets/lost/.metadata.bin")
	d, err := drive.Open(t.Context(), c.Drives()[:2], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	b, err := config.LookupBucket(t.Context(), d, "b")
	if err != nil || b.Name != "b" || string(b.Setting("versioning")) != "<x/>" || b.Setting("policy") != nil {
		t.Errorf("%v, %v", b, err)
	}
	for name, kind := range map[string]sse.Kind{"missing": drive.KindNotFound, "newer": sse.KindUnsupported, "lost": drive.KindDamaged} {
		if b, err := config.LookupBucket(t.Context(), d, name); drive.KindOf(err) != kind || b != nil {
			t.Errorf("%s: %v, %v", name, b, err)
		}
	}
}

func TestWalkEnds(t *testing.T) {
	c := drivetest.New(t, t.TempDir(), 1, 1)
	put(c, "config/iam/users/a/identity.json", []byte("{}"))
	put(c, "config/iam/users/b/identity.json", []byte("{}"))
	d, err := drive.Open(t.Context(), c.Drives(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	enough := errors.New("enough")
	calls := 0
	if err := config.Walk(t.Context(), d, nil, nil, func(*config.Item) error { calls++; return enough }); err != enough || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := config.Walk(ctx, d, nil, nil, func(*config.Item) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestNotPrinted: no way of printing an item shows what is in it.
func TestNotPrinted(t *testing.T) {
	const secret = "very-secret"
	i := &config.Item{Type: config.User, Name: "u", Data: []byte(secret)}
	var b bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&b, nil))
	logger.Info("item", "item", i)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb, i)
		fmt.Fprintf(&b, verb, *i)
	}
	text, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(text)
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprint([]byte(secret)), "dmVyeS1zZWNyZXQ"} {
		if strings.Contains(b.String(), form) {
			t.Error("an item shows its data")
		}
	}
}

// FuzzParseBucket: nothing panics, and every failure has a kind.
func FuzzParseBucket(f *testing.F) {
	f.Add(bucketMetadata(map[string]any{"Name": "b", "Created": time.Unix(1, 2), "LockEnabled": true, "PolicyConfigJSON": []byte("{}"), "X": map[string]any{"a": 1}}))
	f.Add([]byte{1, 0, 1, 0, 0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{1, 0, 1, 0, 0x81, 0xa4, 'N', 'a', 'm', 'e', 0xc6, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		bucket, err := config.ParseBucket(b)
		if (err == nil) != (bucket != nil) || err != nil && drive.KindOf(err) == sse.KindNone {
			t.Errorf("%v, %v", bucket, err)
		}
	})
}
