package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/drivetest"
	"github.com/objseal/objseal/kms/blob"
	"github.com/objseal/objseal/sse"
)

const (
	configSecret = "very-secret-" // all secrets begin so
)

// backendDrives makes drives with users, settings and a bucket with a remote target.
func backendDrives(t *testing.T) []string {
	t.Helper()
	c := drivetest.New(t, t.TempDir(), 1, 4)
	client := driveClient(t)
	put := func(name string, data []byte) {
		c.Put(drive.SystemBucket, name, drivetest.Version{Parts: [][]byte{data}, Inline: true})
	}
	for name, text := range map[string]string{
		"config/config.json":                           `{"identity_openid":{"_":[{"key":"client_secret","value":"very-secret-client"},{"key":"comment","value":""}]},"notify_webhook":{"x":[{"key":"endpoint","value":"http://very-secret-user@host"}]}}`,
		"config/iam/users/alice/identity.json":         `{"version":1,"credentials":{"accessKey":"alice","secretKey":"very-secret-alice","status":"on"},"new":["very-secret-list",{"deep":"very-secret-deep"}]}`,
		"config/iam/service-accounts/SA/identity.json": `{"version":1,"credentials":{"accessKey":"SA","secretKey":"very-secret-sa","sessionToken":"very-secret-token","status":"on","parentUser":"alice"}}`,
		"config/iam/groups/team/members.json":          `{"version":1,"status":"enabled","members":["alice"]}`,
		"config/iam/policydb/users/alice.json":         `{"version":1,"policy":"readonly"}`,
		"config/other":                                 `very-secret-other, which is no JSON`,
	} {
		b, err := blob.Seal(t.Context(), client, []byte(text), blob.AssociatedData(name), nil)
		if err != nil {
			t.Fatal(err)
		}
		put(name, b)
	}
	targets, meta, err := sse.SealBucketTargets(t.Context(), client, "k", "photos",
		[]byte(`{"targets":[{"sourcebucket":"photos","endpoint":"other.example:9000","credentials":{"accessKey":"key","secretKey":"very-secret-target"},"targetbucket":"copy"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	b := msgp.AppendMapHeader([]byte{1, 0, 1, 0}, 4)
	b = msgp.AppendString(msgp.AppendString(b, "Name"), "photos")
	for name, data := range map[string][]byte{"VersioningConfigXML": []byte("<VersioningConfiguration/>"), "BucketTargetsConfigJSON": targets, "BucketTargetsConfigMetaJSON": meta} {
		b = msgp.AppendBytes(msgp.AppendString(b, name), data)
	}
	put("buckets/photos/.metadata.bin", b)
	return c.Drives()
}

// driveConfig runs the command; it shows no secret unless asked to.
func driveConfig(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(append([]string{"drive", "config"}, args...), nil, &out, &errs); got != code {
		t.Fatalf("exit code %d, want %d: %s", got, code, errs.String())
	}
	if all := out.String() + errs.String(); strings.Contains(all, configSecret) != slices.Contains(args, "--reveal") {
		t.Errorf("secrets are shown, or not, against %q", args)
	}
	return out.String(), errs.String()
}

func TestDriveConfig(t *testing.T) {
	t.Setenv("MINIO_KMS_SECRET_KEY", driveKey)
	drives := backendDrives(t)
	stdout, _ := driveConfig(t, 0, drives...)
	for _, want := range []string{
		"config: sealed under key \"k\", ",
		"user \"alice\": sealed under key \"k\", on\n",
		"service-account \"SA\": sealed under key \"k\", on, of user \"alice\"\n",
		"group \"team\": sealed under key \"k\", enabled, members [\"alice\"]\n",
		"policy-mapping \"users/alice\": sealed under key \"k\", \"readonly\"\n",
		"bucket \"photos\": plain, created 0001-01-01, versioning\n",
		"bucket-targets \"photos\": sealed under key \"k\", to \"copy\" at \"other.example:9000\"\n",
		"other \"config/other\": sealed under key \"k\", 35 bytes\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in:\n%s", want, stdout)
		}
	}
	if stdout, _ = driveConfig(t, 0, append(drives[2:], "--json")...); strings.Count(stdout, "\n") != 8 || !strings.Contains(stdout, `"hidden":true`) {
		t.Errorf("with two drives:\n%s", stdout)
	}
	for _, flag := range []string{"--json", "--json=false"} {
		stdout, _ = driveConfig(t, 0, append(drives, "--reveal", flag)...)
		for _, secret := range []string{"client", "user@host", "alice", "list", "deep", "sa", "token", "target", "other"} {
			if !strings.Contains(stdout, configSecret+secret) {
				t.Errorf("%s: --reveal does not show secret %q", flag, secret)
			}
		}
	}
}

func TestDriveConfigOut(t *testing.T) {
	t.Setenv("MINIO_KMS_SECRET_KEY", driveKey)
	drives, out := backendDrives(t), filepath.Join(t.TempDir(), "new", "out")
	driveConfig(t, 0, append(drives, "--out", out)...)
	var files []string
	err := filepath.WalkDir(out, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		if !e.IsDir() {
			name, _ := filepath.Rel(out, path)
			files = append(files, filepath.ToSlash(name))
		}
		return err
	})
	want := []string{"buckets/photos/bucket-targets.json", "buckets/photos/metadata.json", "buckets/photos/versioning.xml", "config/config.json", "config/iam/groups/team/members.json",
		"config/iam/policydb/users/alice.json", "config/iam/service-accounts/SA/identity.json", "config/iam/users/alice/identity.json", "config/other"}
	if err != nil || !slices.Equal(files, want) {
		t.Errorf("%q, %v", files, err)
	}
	for file, secret := range map[string]string{"config/iam/users/alice/identity.json": "very-secret-alice", "buckets/photos/bucket-targets.json": "very-secret-target"} {
		if text, err := os.ReadFile(filepath.Join(out, file)); err != nil || !strings.Contains(string(text), secret) {
			t.Errorf("%s is not written in full: %v", file, err)
		}
	}
	// Nothing is overwritten.
	stdout, stderr := driveConfig(t, 1, append(drives, "--out", out)...)
	if strings.Count(stdout, ": error: ") != 8 || !strings.Contains(stderr, "8 of 8 could not be opened or written") {
		t.Errorf("%s%s", stdout, stderr)
	}
}

// TestDriveConfigFailures: each has its line, and the rest is opened.
func TestDriveConfigFailures(t *testing.T) {
	drives := backendDrives(t)
	for variable, kind := range map[string]string{"": "not-configured", "other:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=": "key-not-found", "k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh4=": "not-authentic"} {
		t.Setenv("MINIO_KMS_SECRET_KEY", variable)
		t.Setenv("HOME", t.TempDir())
		t.Setenv("XDG_CONFIG_HOME", t.TempDir())
		stdout, stderr := driveConfig(t, 1, append(drives, "--json")...)
		kinds := make(map[string]int)
		for decoder := json.NewDecoder(strings.NewReader(stdout)); decoder.More(); {
			var l configLine
			if err := decoder.Decode(&l); err != nil {
				t.Fatal(err)
			}
			kinds[l.Kind]++
		}
		if kinds[kind] != 7 || kinds[""] != 1 || !strings.Contains(stderr, "objseal: hint: ") {
			t.Errorf("%s: %v, %s", kind, kinds, stderr)
		}
	}
	t.Setenv("MINIO_KMS_SECRET_KEY", driveKey)
	for text, code := range map[string]int{"root:password\n\nformer:one": 0, "": 1, "root": 1, ":x": 1, "x:": 1, strings.Repeat("a:b\n", 20000): 1} {
		file := filepath.Join(t.TempDir(), "credentials")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, stderr := driveConfig(t, code, append(drives, "--root-credentials-file", file)...); (code != 0) != strings.Contains(stderr, "objseal: hint: ") {
			t.Errorf("%.20q: %s", text, stderr)
		}
	}
	driveConfig(t, 2)
}

func TestRecoverIntoS3Refused(t *testing.T) {
	drives := backendDrives(t)
	for _, c := range []struct{ out, endpoint, access string }{
		{"s3://a*b*c", "http://127.0.0.1:1", "a"},
		{"s3://", "", "a"},
		{"s3://", "http://127.0.0.1:1", ""},
		{"s3://", "127.0.0.1:1", "a"},
	} {
		for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"} {
			t.Setenv(name, "")
		}
		t.Setenv("AWS_ACCESS_KEY_ID", c.access)
		t.Setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
		var stdout, stderr bytes.Buffer
		args := append([]string{"drive", "recover", "--out", c.out, "--s3-endpoint", c.endpoint}, drives...)
		if code := run(args, nil, &stdout, &stderr); code != 2 || strings.Contains(stderr.String(), "very-secret") {
			t.Errorf("%v: exit code %d, %s", c, code, stderr.String())
		}
	}
}

// TestDriveConfigUnread: a directory that cannot be listed may hold users. That is told, and a
// failure if no other drive has the same.
func TestDriveConfigUnread(t *testing.T) {
	for drives, code := range map[int]int{1: 1, 4: 0} {
		c := drivetest.New(t, t.TempDir(), 1, drives)
		c.Put(drive.SystemBucket, "config/iam/format.json", drivetest.Version{Parts: [][]byte{[]byte(`{"version":1}`)}, Inline: true})
		if err := os.Symlink(t.TempDir(), filepath.Join(c.Drive(0, 0), drive.SystemBucket, "config", "iam", "users")); err != nil {
			t.Fatal(err)
		}
		if _, stderr := driveConfig(t, code, c.Drives()...); !strings.Contains(stderr, "not-regular") {
			t.Errorf("%d drives: %s", drives, stderr)
		}
	}
}
