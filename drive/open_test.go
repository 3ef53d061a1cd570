package drive

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/minio/sio"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmstest"
	"github.com/objseal/objseal/sse"
)

func testClient() *kms.Client { return kms.NewClient(kmstest.NewBackend("key"), nil) }

func customerKey(t testing.TB) sse.CustomerKey {
	k, err := sse.NewCustomerKey(testData("customer key", 32))
	must(t, err)
	return k
}

// plaintext opens a version and reads it.
func plaintext(t testing.TB, v *Version, client *kms.Client, o *OpenOptions) ([]byte, *Content, sse.Integrity, error) {
	t.Helper()
	c, err := v.Open(context.Background(), client, o)
	if err != nil {
		return nil, nil, sse.Integrity{}, err
	}
	defer c.Wipe()
	r, err := c.NewReader(context.Background(), sse.Whole)
	if err != nil {
		return nil, c, sse.Integrity{}, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err == nil && int64(len(b)) != r.Size() {
		t.Errorf("%d bytes, Size says %d", len(b), r.Size())
	}
	return b, c, r.Integrity(), err
}

// checkRanges reads ranges at the edges.
func checkRanges(t testing.TB, v *Version, client *kms.Client, o *OpenOptions, want []byte) {
	t.Helper()
	c, err := v.Open(context.Background(), client, o)
	must(t, err)
	for _, off := range []int{0, 1, len(want) / 2, len(want) - 1} {
		for _, n := range []int{1, 2, 70_000, -1} {
			end := len(want)
			if n >= 0 {
				end = min(end, off+n)
			}
			r, err := c.NewReader(context.Background(), sse.Range{Offset: int64(off), Length: int64(n)})
			must(t, err)
			if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, want[off:end]) {
				t.Errorf("range %d+%d: %d bytes, %v", off, n, len(b), err)
			}
			must(t, r.Close())
		}
	}
}

// sealed is a version of data, encrypted by package sse.
func sealed(t testing.TB, client *kms.Client, r sse.Request, name sse.ObjectName, data []byte, o *sse.EncryptOptions) *version {
	t.Helper()
	u, err := sse.Encrypt(context.Background(), client, r, name, bytes.NewReader(data), o)
	must(t, err)
	b, err := io.ReadAll(u)
	must(t, err)
	meta, err := u.Metadata()
	must(t, err)
	return withMetadata(&version{parts: [][]byte{b}}, meta)
}

func withMetadata(v *version, m map[string]string) *version {
	v.sys, v.usr = map[string]string{}, map[string]string{}
	for key, value := range m {
		if sse.IsReservedMetadata(key) {
			v.sys[key] = value
		} else {
			v.usr[key] = value
		}
	}
	return v
}

func TestOpenEncrypted(t *testing.T) {
	client, key := testClient(), customerKey(t)
	c := newCluster(t, 1, 4)
	data := testData("plain", 200_000)
	requests := map[string]sse.Request{"s3": {Method: sse.S3}, "kms": {Method: sse.KMS, KMSKeyID: "key"}, "c": {Method: sse.C, CustomerKey: key}}
	for name, r := range requests {
		for _, dir := range []string{name, name + "/sub/folder__XLDIR__"} {
			c.put(0, "bucket", dir, 3, sealed(t, client, r, sse.ObjectName{Bucket: "bucket", Object: objectName(dir)}, data, nil))
		}
	}
	d := c.open(c.without([]int{0, 2})...)
	for name, r := range requests {
		for _, object := range []string{name, name + "/sub/folder/"} {
			v := latest(t, d, "bucket", object)
			o := &OpenOptions{CustomerKey: key} // needed by some, of no harm to others
			b, content, integrity, err := plaintext(t, v, client, o)
			if err != nil || !bytes.Equal(b, data) || content.Method != r.Method || content.InClear {
				t.Errorf("%s: %d bytes, %v", object, len(b), err)
			}
			if r.Method == sse.S3 && integrity.Level != sse.Content {
				t.Errorf("%s: %+v", object, integrity)
			}
			if desc, err := v.Describe(); err != nil || desc.Method != r.Method || desc.Size != int64(len(data)) {
				t.Errorf("%s: %+v, %v", object, desc, err)
			}
			sum := md5.Sum(data)
			if tag, err := content.ETag(); err != nil || len(tag) != 32 || r.Method == sse.S3 && tag != hex.EncodeToString(sum[:]) {
				t.Errorf("%s: ETag %q, %v", object, tag, err)
			}
			checkRanges(t, v, client, o, data)
		}
	}
	if _, err := latest(t, d, "bucket", "c").Open(t.Context(), client, nil); !errors.Is(err, sse.ErrCustomerKeyRequired) {
		t.Errorf("without its key: %v", err)
	}
	if _, err := latest(t, d, "bucket", "s3").Open(t.Context(), kms.NewClient(kmstest.NewBackend("other"), nil), nil); KindOf(err) != sse.KindKeyNotFound {
		t.Errorf("without the key: %v", err)
	}
}

func TestOpenPlain(t *testing.T) {
	c := newCluster(t, 1, 4)
	data := bytes.Repeat([]byte("some plain text, "), 20_000)
	sum := md5.Sum(data)
	tag := hex.EncodeToString(sum[:])
	crc := string([]byte{0x09}) + string(crcBytes(data))
	half := len(data) / 2
	var packed [2]bytes.Buffer
	for i, part := range [][]byte{data[:half], data[half:]} {
		w := s2.NewWriter(&packed[i])
		w.Write(part)
		must(t, w.Close())
	}
	actual := map[string]string{"X-Minio-Internal-compression": "klauspost/compress/s2", "X-Minio-Internal-actual-size": strconv.Itoa(len(data))}
	for name, v := range map[string]*version{
		"md5":                 {parts: [][]byte{data}, usr: map[string]string{"etag": tag}},
		"checksum":            {parts: [][]byte{data}, usr: map[string]string{"etag": tag + "-1"}, sys: map[string]string{"x-minio-internal-crc": crc}},
		"nothing":             {parts: [][]byte{data}, usr: map[string]string{"etag": "of its own"}},
		"multipart":           {parts: [][]byte{data[:half], data[half:]}, numbers: []int{1, 7}, usr: map[string]string{"etag": tag + "-2"}},
		"split by the server": {parts: [][]byte{data[:half], data[half:]}, usr: map[string]string{"etag": tag}},
		"compressed":          {parts: [][]byte{append(packed[0].Bytes(), packed[1].Bytes()...)}, usr: map[string]string{"etag": tag}, sys: actual, actual: []int64{int64(len(data))}},
		"compressed parts": {parts: [][]byte{packed[0].Bytes(), packed[1].Bytes()}, numbers: []int{2, 3}, usr: map[string]string{"etag": tag + "-2"}, sys: actual,
			actual: []int64{int64(half), int64(len(data) - half)}},
		"compressed, size of parts": {parts: [][]byte{packed[0].Bytes(), packed[1].Bytes()}, usr: map[string]string{"etag": tag + "-2"}, sys: map[string]string{"X-Minio-Internal-compression": "golang/snappy/LZ77"},
			actual: []int64{int64(half), int64(len(data) - half)}},
	} {
		c.put(0, "bucket", name, 3, v)
		got := latest(t, c.open(), "bucket", name)
		b, content, integrity, err := plaintext(t, got, nil, nil)
		if err != nil || !bytes.Equal(b, data) || content.Method != sse.None || content.Size != int64(len(data)) {
			t.Fatalf("%s: %d bytes, %v", name, len(b), err)
		}
		want := sse.Level("")
		if name == "md5" || name == "checksum" || name == "split by the server" || name == "compressed" {
			want = sse.Content
		}
		if integrity.Level != want {
			t.Errorf("%s: %+v", name, integrity)
		}
		if shown, err := content.ETag(); err != nil || shown != v.usr["etag"] {
			t.Errorf("%s: ETag %q, %v", name, shown, err)
		}
		checkRanges(t, got, nil, nil, data)
	}
	// Content that the ETag contradicts.
	c.put(0, "bucket", "other", 3, &version{parts: [][]byte{data[1:]}, usr: map[string]string{"etag": tag}})
	if _, _, _, err := plaintext(t, latest(t, c.open(), "bucket", "other"), nil, nil); !errors.Is(err, sse.ErrTampered) {
		t.Errorf("%v", err)
	}
	if b, _, _, err := plaintext(t, latest(t, c.open(), "bucket", "other"), nil, &OpenOptions{SkipContentCheck: true}); err != nil || len(b) != len(data)-1 {
		t.Errorf("%v", err)
	}
	// Traces of encryption, an unknown compression, sizes that lie.
	for name, sys := range map[string]map[string]string{
		"traces":      {"X-Minio-Internal-Server-Side-Encryption-Iv": "AAAA"},
		"compression": {"X-Minio-Internal-compression": "zstd"},
		"size":        {"X-Minio-Internal-actual-size": "7"},
		"no size":     {"X-Minio-Internal-actual-size": "x"},
	} {
		c.put(0, "bucket", "bad", 3, &version{parts: [][]byte{data}, sys: sys})
		v := latest(t, c.open(), "bucket", "bad")
		if _, err := v.Open(t.Context(), nil, nil); !errors.Is(err, sse.ErrTampered) && !errors.Is(err, sse.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := v.Describe(); err == nil {
			t.Errorf("%s: Describe passes", name)
		}
	}
}

func crcBytes(b []byte) []byte {
	h := crc32.NewIEEE()
	h.Write(b)
	return h.Sum(nil)
}

// TestInClear: metadata of SSE-C over data that is not encrypted (SSE specification section 9).
func TestInClear(t *testing.T) {
	client, key := testClient(), customerKey(t)
	c := newCluster(t, 1, 4)
	name := sse.ObjectName{Bucket: "bucket", Object: "object"}
	for _, size := range []int{1, 20, 33, 5000, 200_000} {
		data := testData("clear", size)
		data[0] = 'x'
		sum := md5.Sum(data)
		v := sealed(t, client, sse.Request{Method: sse.C, CustomerKey: key}, name, data, nil)
		rotated := *v
		rotated.usr = map[string]string{"etag": hex.EncodeToString(sum[:])}
		c.put(0, "bucket", "object", 3, &rotated)
		got := latest(t, c.open(), "bucket", "object")
		if b, content, _, err := plaintext(t, got, client, &OpenOptions{CustomerKey: key, InClear: true}); err != nil || !bytes.Equal(b, data) || content.InClear || content.Method != sse.C {
			t.Errorf("size %d: a rotated one: %d bytes, %v", size, len(b), err)
		}

		v.parts = [][]byte{data}
		v.usr = rotated.usr
		c.put(0, "bucket", "object", 3, v)
		got = latest(t, c.open(), "bucket", "object")
		if _, err := got.Open(t.Context(), client, &OpenOptions{CustomerKey: key}); !errors.Is(err, ErrInClear) || KindOf(err) != KindInClear {
			t.Errorf("size %d: %v, want ErrInClear", size, err)
		}
		b, content, integrity, err := plaintext(t, got, nil, &OpenOptions{InClear: true})
		if err != nil || !bytes.Equal(b, data) || !content.InClear || content.Method != sse.None || integrity.Level != sse.Content && integrity.Level != "" {
			t.Errorf("size %d: %d bytes, %+v, %v", size, len(b), integrity, err)
		}
	}
}

// TestSyntheticSeals: an SSE-C key sealed by DARE-SHA256 over a stream in DARE 1.0, in the parts
// that an old server split a large object to.
func TestSyntheticSeals(t *testing.T) {
	key := customerKey(t)
	external := key.Bytes()
	for _, version1 := range []bool{true, false} {
		oek, iv := testData("object key", 32), testData("iv", 32)
		kek := sha256.Sum256(append(slices.Clone(external), iv...))
		cfg := func(k []byte) sio.Config {
			if version1 {
				return sio.Config{Key: k, MinVersion: sio.Version10, MaxVersion: sio.Version10}
			}
			return sio.Config{Key: k}
		}
		var seal, body bytes.Buffer
		_, err := sio.Encrypt(&seal, bytes.NewReader(oek), cfg(kek[:]))
		must(t, err)
		data := testData("old data", 300_000)
		_, err = sio.Encrypt(&body, bytes.NewReader(data), sio.Config{Key: oek, MinVersion: sio.Version10, MaxVersion: sio.Version10})
		must(t, err)
		b64 := base64.StdEncoding.EncodeToString
		meta := map[string]string{
			"X-Minio-Internal-Server-Side-Encryption-Iv":             b64(iv),
			"X-Minio-Internal-Server-Side-Encryption-Seal-Algorithm": "DARE-SHA256",
			"X-Minio-Internal-Server-Side-Encryption-Sealed-Key":     b64(seal.Bytes()),
			"etag": "d41d8cd98f00b204e9800998ecf8427e", "X-Amz-Meta-A": "b",
		}
		c := newCluster(t, 1, 4)
		parts := [][]byte{body.Bytes()[:100_000], body.Bytes()[100_000:200_000], body.Bytes()[200_000:]}
		c.put(0, "bucket", "v1", xlJSON, &version{kind: LegacyVersion, bitrot: "blake2b", parts: parts, usr: meta})
		c.put(0, "bucket", "upgraded", 3, &version{kind: LegacyVersion, bitrot: "highwayhash256", parts: parts, usr: meta})
		c.put(0, "bucket", "v2", 2, withMetadata(&version{parts: parts[:], numbers: []int{1, 2, 3}}, meta))
		d := c.open(c.without([]int{1, 3})...)
		for _, name := range []string{"v1", "upgraded", "v2"} {
			v := latest(t, d, "bucket", name)
			b, content, _, err := plaintext(t, v, nil, &OpenOptions{CustomerKey: key})
			if err != nil || !bytes.Equal(b, data) || !content.LegacySeal || content.Method != sse.C {
				t.Errorf("%s, DARE 1.0 %v: %d bytes, %v", name, version1, len(b), err)
			}
			if a, _ := v.Meta("x-amz-meta-a"); a != "b" {
				t.Errorf("%s: metadata %q", name, a)
			}
		}
	}
}

// TestSpecialVersions of specification section 7.
func TestSpecialVersions(t *testing.T) {
	data := testData("x", 3000)
	tiered := func(more map[string]string) *version {
		v := &version{parts: [][]byte{data}, sys: map[string]string{metaTransitionStatus: "complete", metaTransitionTier: "COLD",
			metaTransitionObject: "remote/key", "x-minio-internal-transitioned-versionID": "rv", "x-minio-internal-inline-data": "true"}, usr: more}
		return v
	}
	c := newCluster(t, 1, 4)
	remove := func(name string, v *version) {
		for slot := range 4 {
			must(t, os.Remove(c.shardFile(slot, "bucket", name, v)))
		}
	}
	for name, test := range map[string]struct {
		v       *version
		removed bool
		opts    *OpenOptions
		want    error
	}{
		"tiered":               {tiered(nil), true, nil, ErrTiered},
		"restoring":            {tiered(map[string]string{"X-Amz-Restore": `ongoing-request="true"`}), true, nil, ErrTiered},
		"restored":             {tiered(map[string]string{"X-Amz-Restore": `ongoing-request="false", expiry-date="Fri, 01 Jan 2038 00:00:00 GMT"`}), false, nil, nil},
		"restored and gone":    {tiered(map[string]string{"x-amz-restore": `ongoing-request="false", expiry-date="Fri, 01 Jan 2021 00:00:00 GMT"`}), true, nil, ErrTiered},
		"purge pending":        {&version{parts: [][]byte{data}, sys: map[string]string{"X-Minio-Internal-Purgestatus": "arn=PENDING;"}}, false, nil, ErrDeleted},
		"purge pending, asked": {&version{parts: [][]byte{data}, sys: map[string]string{"X-Minio-Internal-Purgestatus": "arn=PENDING;"}}, false, &OpenOptions{Deleted: true}, nil},
		"delete marker":        {&version{kind: DeleteMarker, id: testUUID(1)}, false, &OpenOptions{Deleted: true}, ErrDeleted},
		"free version":         {&version{kind: DeleteMarker, id: testUUID(1), free: true, sys: map[string]string{metaFreeMarker: ""}}, false, nil, ErrDeleted},
	} {
		c.put(0, "bucket", name, 3, test.v)
		if test.removed {
			remove(name, test.v)
		}
		o := lookup(t, c.open(), "bucket", name)
		v := o.Versions[0]
		b, _, _, err := plaintext(t, v, nil, test.opts)
		if !errors.Is(err, test.want) || err != nil && KindOf(err) != KindOf(test.want) || err == nil && !bytes.Equal(b, data) {
			t.Errorf("%s: %d bytes, %v, want %v", name, len(b), err, test.want)
		}
		if test.v.sys[metaTransitionStatus] != "" && (v.Tier == nil || v.Tier.Name != "COLD" || v.Tier.Object != "remote/key" || v.Tier.Version != "rv") {
			t.Errorf("%s: %+v", name, v.Tier)
		}
		if latest := o.Latest(); (latest == nil) != (v.PurgePending || v.Type == FreeVersion) {
			t.Errorf("%s: latest %+v", name, latest)
		}
		if _, err := v.Fetch(t.Context(), 0, 0); v.Type != ObjectVersion && !errors.Is(err, ErrDeleted) {
			t.Errorf("%s: Fetch: %v", name, err)
		}
	}
}

// TestUploads lists unfinished uploads and reads their parts.
func TestUploads(t *testing.T) {
	client := testClient()
	c := newCluster(t, 2, 4)
	name := sse.ObjectName{Bucket: "bucket", Object: "some/object"}
	upload, err := sse.NewMultipart(t.Context(), client, sse.Request{Method: sse.S3}, name)
	must(t, err)
	hash := sha256.Sum256([]byte("bucket/some/object"))
	id := testUUID(33) + "x1700000000000000001"
	dir := join(multipartDir, hex.EncodeToString(hash[:]), id)
	v := withMetadata(&version{inline: true}, upload.Metadata())
	c.put(1, SystemBucket, dir, 3, v)
	plain := map[int][]byte{2: testData("2", 100_000), 5: testData("5", 10)}
	for number, data := range plain {
		part, err := upload.Part(t.Context(), number, bytes.NewReader(data), nil)
		must(t, err)
		b, err := io.ReadAll(part)
		must(t, err)
		shards := v.shards(t, b)
		for slot := range 4 {
			at := join(SystemBucket, dir, v.dataDir, "part."+strconv.Itoa(number))
			c.write(c.root(1, slot), at, framed(shards[v.dist[slot]-1]))
			if slot != 1 {
				c.write(c.root(1, slot), at+".meta", pack(nil, map[string]any{"e": "etag", "n": number, "s": len(b), "as": len(data), "mt": 7}))
			}
		}
	}
	c.write(c.root(1, 0), join(SystemBucket, dir, v.dataDir, "part.7.meta"), []byte("damaged"))
	c.write(c.root(1, 0), join(SystemBucket, dir, v.dataDir, "part.x.meta"), []byte("other"))

	d := c.open(c.root(1, 0), c.root(1, 1), c.root(0, 0))
	var uploads []*Upload
	must(t, d.Uploads(t.Context(), func(u *Upload) error {
		uploads = append(uploads, u)
		return nil
	}))
	if len(uploads) != 1 {
		t.Fatalf("%d uploads", len(uploads))
	}
	u := uploads[0]
	wantID := base64.RawURLEncoding.EncodeToString([]byte(c.id + "." + id))
	if u.ID != wantID || u.Initiated.UnixNano() != 1700000000000000001 || len(u.Version.Parts) != 2 || u.Version.Parts[1].Number != 5 {
		t.Errorf("%+v, %+v", u, u.Version.Parts)
	}
	if len(u.Findings) != 1 || u.Findings[0].Problem != MetadataDamaged || u.Findings[0].Part != 7 {
		t.Errorf("%v", u.Findings)
	}
	if u.HasName("bucket", "other") || !u.HasName("bucket", "some/object") {
		t.Error("HasName")
	}
	if _, err := u.Named("bucket", "other"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := u.Named("bucket", "some/object", 3); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	for _, numbers := range [][]int{nil, {2}, {5}, {5, 2}} {
		v, err := u.Named("bucket", "some/object", numbers...)
		must(t, err)
		var want []byte
		for _, n := range []int{2, 5} {
			if len(numbers) == 0 || slices.Contains(numbers, n) {
				want = append(want, plain[n]...)
			}
		}
		if b, _, _, err := plaintext(t, v, client, nil); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%v: %d bytes, %v", numbers, len(b), err)
		}
	}
	stop := fmt.Errorf("stop")
	if err := d.Uploads(t.Context(), func(*Upload) error { return stop }); err != stop {
		t.Errorf("%v", err)
	}
	// Its xl.meta is lost on all drives.
	for slot := range 4 {
		must(t, os.WriteFile(filepath.Join(c.root(1, slot), SystemBucket, dir, "xl.meta"), []byte("XL2 lost"), 0o644))
	}
	must(t, c.open().Uploads(t.Context(), func(u *Upload) error {
		if v, err := u.Named("bucket", "some/object"); err != nil {
			t.Error(err)
		} else if _, err := v.Open(t.Context(), client, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("%v", err)
		}
		return nil
	}))
}
