package config_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/config"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/blob"
	"github.com/objseal/objseal/kms/keystore"
	"github.com/objseal/objseal/kms/static"
)

// answers are what a deployment of testdata/golden holds.
type answers struct {
	SecretKey string `json:"secret_key"`
	Keystore  map[string]string
	Items     []struct {
		Path, SHA256, Format string
		KMSKeyID             string `json:"kms_key_id"`
		Size                 int
	}
	Buckets []struct {
		Name, Versioning  string
		DefaultEncryption string `json:"default_encryption"`
	}
	Users    map[string]string   `json:"iam_users"`
	Groups   map[string][]string `json:"iam_groups"`
	Policies map[string]struct {
		Document any      `json:"document_sent"`
		Users    []string `json:"attached_to_users"`
		Groups   []string `json:"attached_to_groups"`
	} `json:"iam_policies"`
	ServiceAccounts map[string]struct {
		ParentUser string `json:"parent_user"`
		SecretKey  string `json:"secret_key"`
	} `json:"iam_service_accounts"`
	Targets []struct {
		Bucket, Endpoint, ARN string
		TargetBucket          string `json:"target_bucket"`
		AccessKey             string `json:"access_key"`
		SecretKey             string `json:"secret_key"`
	} `json:"remote_targets"`
}

func readAnswers(t testing.TB) (all map[string]answers) {
	t.Helper()
	text, err := os.ReadFile("testdata/golden/answers.json")
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (a *answers) client(t testing.TB) *kms.Client {
	t.Helper()
	if a.SecretKey != "" {
		return staticClient(t, a.SecretKey)
	}
	dir := t.TempDir()
	for name, text := range a.Keystore {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	backend, err := keystore.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return kms.NewClient(backend, nil)
}

func staticClient(t testing.TB, text string) *kms.Client {
	t.Helper()
	key, err := static.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	backend, err := static.New([]static.Key{key}, "")
	if err != nil {
		t.Fatal(err)
	}
	return kms.NewClient(backend, nil)
}

// unpack returns the drives in an archive.
func unpack(t testing.TB, archive string) []string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	drives, err := filepath.Glob(filepath.Join(dir, "drive*"))
	if err != nil {
		t.Fatal(err)
	}
	return drives
}

// walk returns what Walk finds, by type and name.
func walk(t testing.TB, drives []string, client *kms.Client, o *config.Options) map[string]*config.Item {
	t.Helper()
	d, err := drive.Open(t.Context(), drives, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	items := make(map[string]*config.Item)
	err = config.Walk(t.Context(), d, client, o, func(i *config.Item) error {
		items[strings.TrimSpace(string(i.Type)+" "+i.Name)] = i
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return items
}

func TestGolden(t *testing.T) {
	for name, want := range readAnswers(t) {
		t.Run(name, func(t *testing.T) {
			items := walk(t, unpack(t, "testdata/golden/"+name+".tar.gz"), want.client(t), nil)
			want.compareItems(t, items)
			want.compareIdentities(t, items)
			want.comparePolicies(t, items)
			want.compareBuckets(t, items)
		})
	}
}

func (a *answers) compareItems(t *testing.T, items map[string]*config.Item) {
	sealed := 0
	for name, i := range items {
		if i.Err != nil {
			t.Errorf("%s: %v", name, i.Err)
		}
		if i.Form == blob.Sealed {
			sealed++
		}
	}
	found := 0
	for _, w := range a.Items {
		for _, i := range items {
			if i.Path != w.Path || (i.Type == config.BucketTargets) != (w.Format == "bucket-targets") {
				continue
			}
			found++
			if sum := sha256.Sum256(i.Data); i.Form != blob.Sealed || i.KeyID != w.KMSKeyID || len(i.Data) != w.Size || hex.EncodeToString(sum[:]) != w.SHA256 {
				t.Errorf("%s: %d bytes, %s under key %q", i.Path, len(i.Data), i.Form, i.KeyID)
			}
		}
	}
	if found != len(a.Items) || sealed != found {
		t.Errorf("%d items are sealed, %d of them known, want %d", sealed, found, len(a.Items))
	}
}

func decode(t *testing.T, i *config.Item, v any) bool {
	t.Helper()
	if i == nil || i.Err != nil {
		t.Errorf("it is missing: %v", i)
		return false
	}
	if json.Unmarshal(i.Data, v) != nil { // whose words may quote it
		t.Errorf("%v is not the JSON it should be", i)
		return false
	}
	return true
}

type identity struct {
	Credentials struct{ AccessKey, SecretKey, ParentUser string }
}

func (a *answers) compareIdentities(t *testing.T, items map[string]*config.Item) {
	for name, secret := range a.Users {
		var got identity
		if decode(t, items["user "+name], &got) && (got.Credentials.AccessKey != name || got.Credentials.SecretKey != secret) {
			t.Errorf("user %q has other credentials", name)
		}
	}
	for name, want := range a.ServiceAccounts {
		var got identity
		if decode(t, items["service-account "+name], &got) && (got.Credentials.SecretKey != want.SecretKey || got.Credentials.ParentUser != want.ParentUser) {
			t.Errorf("service account %q has other credentials", name)
		}
	}
	for name, members := range a.Groups {
		var got struct{ Members []string }
		if decode(t, items["group "+name], &got) && !slices.Equal(got.Members, members) {
			t.Errorf("group %q: members %q, want %q", name, got.Members, members)
		}
	}
}

func (a *answers) comparePolicies(t *testing.T, items map[string]*config.Item) {
	for name, want := range a.Policies {
		var got struct{ Policy any }
		if decode(t, items["policy "+name], &got) && !reflect.DeepEqual(sorted(got.Policy), sorted(want.Document)) {
			t.Errorf("policy %q is another", name)
		}
		for kind, names := range map[string][]string{"users/": want.Users, "groups/": want.Groups} {
			for _, n := range names {
				var mapping struct{ Policy string }
				if decode(t, items["policy-mapping "+kind+n], &mapping) && mapping.Policy != name {
					t.Errorf("%s%s has policy %q, want %q", kind, n, mapping.Policy, name)
				}
			}
		}
	}
}

// sorted puts lists in order: servers write actions in any.
func sorted(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = sorted(v[name])
		}
	case []any:
		slices.SortFunc(v, func(a, b any) int {
			x, _ := a.(string)
			y, _ := b.(string)
			return strings.Compare(x, y)
		})
		for i := range v {
			v[i] = sorted(v[i])
		}
	}
	return v
}

func (a *answers) compareBuckets(t *testing.T, items map[string]*config.Item) {
	for _, want := range a.Buckets {
		i := items["bucket "+want.Name]
		if i == nil || i.Bucket == nil {
			t.Errorf("there is no bucket %s", want.Name)
			continue
		}
		got := make(map[string]string)
		for _, s := range i.Bucket.Settings {
			got[s.Name] = string(s.Data)
		}
		status, _, _ := strings.Cut(want.Versioning, " ")
		method := map[string]string{"": "", "SSE-S3": "AES256", "SSE-KMS": "aws:kms"}[want.DefaultEncryption]
		if i.Bucket.Created.IsZero() || (status == "") != (got["versioning"] == "") || !strings.Contains(got["versioning"], status) ||
			(method == "") != (got["encryption"] == "") || !strings.Contains(got["encryption"], method) {
			t.Errorf("bucket %s: %q", want.Name, got)
		}
	}
	for _, want := range a.Targets {
		var got struct {
			Targets []struct {
				SourceBucket, Endpoint, TargetBucket, ARN string
				Credentials                               struct{ AccessKey, SecretKey string }
			}
		}
		if !decode(t, items["bucket-targets "+want.Bucket], &got) {
			continue
		}
		if g := got.Targets[0]; len(got.Targets) != 1 || g.SourceBucket != want.Bucket || g.Endpoint != want.Endpoint || g.TargetBucket != want.TargetBucket ||
			g.ARN != want.ARN || g.Credentials.AccessKey != want.AccessKey || g.Credentials.SecretKey != want.SecretKey {
			t.Errorf("the target of bucket %s is another", want.Bucket)
		}
	}
}
