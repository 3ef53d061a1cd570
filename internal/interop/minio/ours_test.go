//go:build unix

package minio_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/objseal/objseal/internal/interop/minio/s3client"
	"github.com/objseal/objseal/internal/interop/minio/xlmeta"
	"github.com/objseal/objseal/internal/interop/minioproc"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

// TestOursInMinIO: what package sse writes, MinIO reads. The ciphertext goes to a
// server as the bytes of objects that are not encrypted. It is stopped, and their
// metadata on its drive becomes what package sse says. Started again it takes them
// for its own: every way of reading tells what was sealed, and copies and new
// customer keys work.
func TestOursInMinIO(t *testing.T) {
	binary := minioproc.Build(t, ".")
	for _, test := range []struct {
		name    string
		options minioproc.Options
		sealed  func() []*sealed
	}{
		{"one drive", minioproc.Options{}, everySort},
		{"four drives", minioproc.Options{Drives: 4, Env: []string{"MINIO_STORAGE_CLASS_STANDARD=EC:2"}}, someSorts},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, err := static.NewKey(kmsKey)
			if err != nil {
				t.Fatal(err)
			}
			other, err := static.NewKey("unused")
			if err != nil {
				t.Fatal(err)
			}
			backend, err := static.New([]static.Key{other, key}, kmsKey)
			if err != nil {
				t.Fatal(err)
			}
			o := test.options
			o.TLS = true // for SSE-C
			o.Env = append(slices.Clone(o.Env), "MINIO_KMS_SECRET_KEY="+key.Text())
			s := &sealedStore{server: minioproc.Start(t, binary, &o), keys: kms.NewClient(backend, nil), objects: test.sealed()}
			s.client = s3client.New(t, s.server)
			s.fill(t)
			s.beginUploads(t)
			s.server.Stop(t)
			s.replaceMetadata(t)
			s.replaceUploads(t)
			s.server.Restart(t)
			s.read(t)
			s.endUploads(t)
			s.copy(t)
			s.rotate(t)
		})
	}
}

const sealedBucket = "sealed"

// A sealedStore is a server with the objects that package sse sealed.
type sealedStore struct {
	server  *minioproc.Server
	client  *minio.Core
	keys    *kms.Client
	objects []*sealed
	uploads []*begun

	reads, mismatches atomic.Int64
}

// A sealed object is one to be put into a server as if that had encrypted it.
type sealed struct {
	name      string
	request   sse.Request
	parts     []plainPart
	single    bool // one stream, of the one part
	options   sse.EncryptOptions
	full      bool // the checksum of a multipart object is of type FULL_OBJECT
	user      map[string]string
	annotated bool // with more headers
	number    int

	data     []byte
	etag     string       // as clients shall see it
	checksum sse.Checksum // likewise
	metadata map[string]string
}

// plainPart is a part of an object, by its number and the size of its plaintext.
type plainPart struct {
	number int
	size   int64
}

func (o *sealed) actual() (sizes []int64) {
	for _, p := range o.parts {
		sizes = append(sizes, p.size)
	}
	return sizes
}

func (o *sealed) String() string {
	sort := "single"
	if !o.single {
		sort = fmt.Sprint("multipart ", o.parts)
	}
	return fmt.Sprintf("%s (%s, context %v, %s, ETag policy %d, checksum %s, %d bytes, %s)", o.name, o.request.Method, o.request.Context != nil, o.options.Cipher, o.options.Policy, o.options.Checksum, len(o.data), sort)
}

// customer is the key that the client of an SSE-C object sends, else nil.
func (o *sealed) customer(t testing.TB) encrypt.ServerSide {
	if o.request.Method != sse.C {
		return nil
	}
	return customerSSE(t, byte(o.number))
}

// keyOfCustomer is a client's key.
func keyOfCustomer(fill byte) []byte {
	sum := sha256.Sum256([]byte{fill})
	return sum[:]
}

func customerSSE(t testing.TB, fill byte) encrypt.ServerSide {
	key, err := encrypt.NewSSEC(keyOfCustomer(fill))
	if err != nil {
		t.Error(err)
	}
	return key
}

// contents is what all contents are cut from.
var contents = sync.OnceValue(func() []byte {
	b := make([]byte, 24<<20)
	mathrand.NewChaCha8([32]byte{1}).Read(b)
	return b
})

// sealedRequests are the ways of encryption.
func sealedRequests(number int) []sse.Request {
	customer, err := sse.NewCustomerKey(keyOfCustomer(byte(number)))
	if err != nil {
		panic(err) // its length is right
	}
	return []sse.Request{
		{Method: sse.S3},
		{Method: sse.KMS, KMSKeyID: kmsKey},
		{Method: sse.KMS, KMSKeyID: kmsKey, Context: kms.AssociatedData{"tenant": "a\"<&>é\u2028", "b": "", "\b\f\x7f": "1"}},
		{Method: sse.KMS, Context: kms.AssociatedData{sealedBucket: "a pair under the name of the bucket"}},
		{Method: sse.C, CustomerKey: customer},
	}
}

var sealedSums = []sse.ChecksumType{sse.NoChecksum, sse.CRC32C, sse.SHA256, sse.CRC64NVME, sse.SHA1, sse.CRC32}

// everySort is every scheme with every size, the small ones with each checksum. Ciphers
// take turns; names, ETags and headers are of every sort.
func everySort() (list []*sealed) {
	random := mathrand.New(mathrand.NewPCG(3, 4))
	var turns [6]int // by scheme, so that all of them see every pair of cipher and checksum
	add := func(scheme int, parts ...plainPart) *sealed {
		turn := turns[scheme]
		turns[scheme]++
		number := len(list)
		o := &sealed{number: number, request: sealedRequests(number)[scheme], parts: parts, full: random.IntN(2) == 0}
		o.options.Cipher = []stream.Cipher{stream.AES256GCM, stream.ChaCha20Poly1305}[(turn+turn/len(sealedSums))%2]
		o.options.Checksum = sealedSums[turn%len(sealedSums)]
		switch o.options.Checksum {
		case sse.CRC64NVME:
			o.full = true
		case sse.SHA1, sse.SHA256:
			o.full = false
		}
		o.options.Policy = []sse.ETagPolicy{sse.ETagMD5, sse.ETagMD5, sse.ETagRandom}[random.IntN(3)]
		o.name = fmt.Sprintf("%02d/object-%04d%s", number%7, number, []string{"", " ünï=&+%41 ?#~", "/below/it/a", ".txt"}[random.IntN(4)])
		if o.annotated = random.IntN(3) == 0; o.annotated {
			o.user = map[string]string{"X-Amz-Meta-Some-Name": "a value; with = and , in it", "X-Amz-Meta-Other": "1"}
		}
		list = append(list, o)
		return o
	}
	sizes := []int64{0, 1, 1 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128<<10 - 1, 128 << 10, 128<<10 + 1, 1 << 20, 1<<20 + 1, 5 << 20, 11 << 20}
	multipart := [][]plainPart{
		{{1, 0}},
		{{7, 1}},
		{{1, 64<<10 + 1}},
		{{2, 128 << 10}},
		{{10000, 1 << 20}},
		{{1, 5 << 20}, {2, 1}},
		{{1, 5 << 20}, {3, 5<<20 + 92}, {7, 1 << 20}},
		{{2, 5<<20 + 65535}, {9999, 64 << 10}},
		{{1, 6 << 20}, {2, 5<<20 + 1}, {3, 65537}},
	}
	for scheme := range sealedRequests(0) {
		for _, size := range sizes {
			times := len(sealedSums)
			if size >= 1<<20 {
				times = 1
			}
			for turn := range times {
				o := add(scheme, plainPart{1, size})
				o.single = true
				if size < 64<<10 && turn == 2 {
					o.name += "/" // stored under another name
				}
			}
		}
		for _, parts := range multipart {
			times := len(sealedSums)
			if parts[0].size >= 1<<20 {
				times = 1
			}
			for range times {
				add(scheme, parts...)
			}
		}
	}
	return list
}

// someSorts is one object of each scheme, small and large, in one stream and in parts.
func someSorts() (list []*sealed) {
	for i, o := range everySort() {
		if i%7 == 0 || i%14 == 1 && strings.HasSuffix(o.name, "/") {
			list = append(list, o)
		}
	}
	return list
}

// each calls do for every object, some at once.
func (s *sealedStore) each(objects []*sealed, do func(*sealed)) {
	work := make(chan *sealed)
	var running sync.WaitGroup
	for range 6 {
		running.Go(func() {
			for o := range work {
				do(o)
			}
		})
	}
	for _, o := range objects {
		work <- o
	}
	close(work)
	running.Wait()
}

// fill seals the objects and stores their ciphertext, as if it were anything.
func (s *sealedStore) fill(t *testing.T) {
	t.Helper()
	s3client.MakeBucket(t, s.client, sealedBucket)
	s.each(s.objects, func(o *sealed) {
		var size int64
		for _, p := range o.parts {
			size += p.size
		}
		o.data = contents()[o.number*31:][:size]
		put := o.putParts
		if o.single {
			put = o.put
		}
		if err := put(t.Context(), s); err != nil {
			t.Errorf("%s: failed to store it: %v", o, err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
}

func (o *sealed) objectName() sse.ObjectName {
	return sse.ObjectName{Bucket: sealedBucket, Object: o.name}
}

func (o *sealed) putOptions() minio.PutObjectOptions {
	p := minio.PutObjectOptions{
		UserMetadata: o.user, ContentType: "application/x-sealed", DisableMultipart: true,
		Checksum: minio.ChecksumNone, DisableContentSha256: true,
	}
	if o.annotated {
		p.CacheControl, p.ContentLanguage = "max-age=17", "de"
	}
	return p
}

func (o *sealed) put(ctx context.Context, s *sealedStore) error {
	upload, err := sse.Encrypt(ctx, s.keys, o.request, o.objectName(), bytes.NewReader(o.data), &o.options)
	if err != nil {
		return err
	}
	ciphertext, err := io.ReadAll(upload)
	if err != nil {
		return err
	}
	if o.metadata, err = upload.Metadata(); err != nil {
		return err
	}
	o.etag, o.checksum = upload.ETag(), upload.Checksum()
	_, err = s.client.Client.PutObject(ctx, sealedBucket, o.name, bytes.NewReader(ciphertext), int64(len(ciphertext)), o.putOptions())
	return err
}

func (o *sealed) putParts(ctx context.Context, s *sealedStore) error {
	m, err := sse.NewMultipart(ctx, s.keys, o.request, o.objectName())
	if err != nil {
		return err
	}
	defer m.Wipe()
	id, err := s.client.NewMultipartUpload(ctx, sealedBucket, o.name, o.putOptions())
	if err != nil {
		return err
	}
	var ours []sse.CompletedPart
	var theirs []minio.CompletePart
	rest := o.data
	for _, p := range o.parts {
		upload, err := m.Part(ctx, p.number, bytes.NewReader(rest[:p.size]), &o.options)
		if err != nil {
			return err
		}
		rest = rest[p.size:]
		ciphertext, err := io.ReadAll(upload)
		if err != nil {
			return err
		}
		ours = append(ours, sse.CompletedPart{Number: p.number, ETag: upload.ETag(), ActualSize: upload.Size(), Checksum: upload.Checksum().Value})
		part, err := s.client.PutObjectPart(ctx, sealedBucket, o.name, id, p.number, bytes.NewReader(ciphertext), int64(len(ciphertext)), minio.PutObjectPartOptions{})
		if err != nil {
			return err
		}
		theirs = append(theirs, minio.CompletePart{PartNumber: p.number, ETag: part.ETag})
	}
	complete := &sse.CompleteOptions{Checksum: o.options.Checksum, FullObject: o.full}
	if o.metadata, err = m.CompleteWith(ours, complete); err != nil {
		return err
	}
	o.etag = o.metadata["etag"]
	if o.options.Checksum != sse.NoChecksum {
		// What clients shall see is told by package sse itself, of what it has stored;
		// that it is the right checksum, its own tests know.
		_, sums, err := m.OpenPart(o.metadata)
		if err != nil || len(sums) != 1 {
			return fmt.Errorf("%d checksums: %w", len(sums), err)
		}
		o.checksum = sums[0]
	}
	_, err = s.client.CompleteMultipartUpload(ctx, sealedBucket, o.name, id, theirs, minio.PutObjectOptions{})
	return err
}

// replaceMetadata makes the objects encrypted ones.
func (s *sealedStore) replaceMetadata(t *testing.T) {
	t.Helper()
	inline := 0
	for _, o := range s.objects {
		for i, drive := range s.server.Drives {
			name := filepath.Join(xlmeta.Dir(sealedBucket, o.name), xlmeta.FileName)
			path := filepath.Join(drive, name)
			f, err := xlmeta.Read(path)
			if err != nil {
				t.Fatalf("%s: %v", o, err)
			}
			if !bytes.Equal(f.Bytes(), read(t, path)) {
				t.Fatalf("%s: what nobody changed is another file", o)
			}
			v := f.Versions[0]
			all, err := v.Metadata()
			if err != nil {
				t.Fatalf("%s: %v", o, err)
			}
			if i == 0 && all["x-minio-internal-inline-data"] == "true" {
				inline++
			}
			// What the server knows of the ciphertext is not true of the plaintext.
			delete(all, "x-minio-internal-crc")
			delete(all, "X-Minio-Internal-actual-size")
			maps.Copy(all, o.metadata)
			v.SetMetadata(all)
			v.SetActualSizes(o.actual())
			if err := f.Write(drive, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d objects, %d of them inline", len(s.objects), inline)
	if inline == 0 || inline == len(s.objects) {
		t.Error("want both sorts")
	}
}

// mismatch reports a difference; the first ones in words.
func (s *sealedStore) mismatch(t *testing.T, o *sealed, format string, args ...any) {
	t.Helper()
	if s.mismatches.Add(1) <= 20 {
		t.Errorf("%s: %s", o, fmt.Sprintf(format, args...))
	} else {
		t.Fail()
	}
}

// read reads every object in every way.
func (s *sealedStore) read(t *testing.T) {
	t.Helper()
	listed := make(map[string]minio.ObjectInfo)
	for info := range s.client.Client.ListObjects(t.Context(), sealedBucket, minio.ListObjectsOptions{Recursive: true}) {
		if info.Err != nil {
			t.Fatal(info.Err)
		}
		listed[info.Key] = info
	}
	s.each(s.objects, func(o *sealed) {
		if info := listed[o.name]; strings.Trim(info.ETag, `"`) != o.etag || info.Size != int64(len(o.data)) {
			s.mismatch(t, o, "the listing has ETag %s and %d bytes, want %s", info.ETag, info.Size, o.etag)
		}
		s.readWhole(t, o)
		s.readHead(t, o)
		s.readRanges(t, o)
		s.readParts(t, o)
		s.readWithout(t, o)
	})
	t.Logf("%d objects, %d answers, %d mismatches", len(s.objects), s.reads.Load(), s.mismatches.Load())
	if log := s.server.Log(); strings.Contains(log, "SYSTEM.encryption") {
		t.Errorf("the server complains: %.4000s", log)
	}
	if len(listed) != len(s.objects) {
		t.Errorf("%d objects are listed, want %d", len(listed), len(s.objects))
	}
}

// get reads what options say and compares it.
func (s *sealedStore) get(t *testing.T, o *sealed, what string, options minio.GetObjectOptions, want []byte) (minio.ObjectInfo, http.Header) {
	s.reads.Add(1)
	options.ServerSideEncryption = o.customer(t)
	body, info, header, err := s.client.GetObject(t.Context(), sealedBucket, o.name, options)
	if err != nil {
		s.mismatch(t, o, "%s: %v", what, err)
		return info, header
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(want) || info.Size != int64(len(want)) {
		s.mismatch(t, o, "%s: %d other bytes, %d announced, %v", what, len(got), info.Size, err)
	}
	if info.ETag != o.etag {
		s.mismatch(t, o, "%s: ETag %s, want %s", what, info.ETag, o.etag)
	}
	return info, header
}

func (s *sealedStore) readWhole(t *testing.T, o *sealed) {
	info, header := s.get(t, o, "whole", minio.GetObjectOptions{Checksum: true}, o.data)
	s.compareInfo(t, o, "whole", info, header)
}

// compareInfo compares all that an answer tells but the content.
func (s *sealedStore) compareInfo(t *testing.T, o *sealed, what string, info minio.ObjectInfo, header http.Header) {
	wrong := func(name, got, want string) {
		if got != want {
			s.mismatch(t, o, "%s: %s is %q, want %q", what, name, got, want)
		}
	}
	scheme := map[sse.Method][3]string{sse.S3: {"AES256"}, sse.KMS: {"aws:kms", "arn:aws:kms:" + kmsKey}, sse.C: {"", "", "AES256"}}[o.request.Method]
	for i, name := range []string{"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Server-Side-Encryption-Customer-Algorithm"} {
		wrong(name, header.Get(name), scheme[i])
	}
	wrong("Content-Type", info.ContentType, "application/x-sealed")
	if o.annotated {
		wrong("Cache-Control", header.Get("Cache-Control"), "max-age=17")
		wrong("Content-Language", header.Get("Content-Language"), "de")
	}
	for name, value := range o.user {
		wrong(name, header.Get(name), value)
	}
	for name := range header {
		if sse.IsReservedMetadata(name) {
			s.mismatch(t, o, "%s: a header %s", what, name)
		}
	}
	want := make(map[sse.ChecksumType]string)
	mode := ""
	if o.checksum.Type != sse.NoChecksum {
		want[o.checksum.Type] = o.checksum.String()
		if mode = "FULL_OBJECT"; o.checksum.Composite {
			mode = "COMPOSITE"
		}
	}
	wrong("CRC32", info.ChecksumCRC32, want[sse.CRC32])
	wrong("CRC32C", info.ChecksumCRC32C, want[sse.CRC32C])
	wrong("CRC64NVME", info.ChecksumCRC64NVME, want[sse.CRC64NVME])
	wrong("SHA1", info.ChecksumSHA1, want[sse.SHA1])
	wrong("SHA256", info.ChecksumSHA256, want[sse.SHA256])
	wrong("checksum type", info.ChecksumMode, mode)
}

func (s *sealedStore) readHead(t *testing.T, o *sealed) {
	s.reads.Add(1)
	info, err := s.client.StatObject(t.Context(), sealedBucket, o.name, minio.StatObjectOptions{Checksum: true, ServerSideEncryption: o.customer(t)})
	if err != nil {
		s.mismatch(t, o, "HEAD: %v", err)
		return
	}
	etag := o.etag
	if strings.HasSuffix(o.name, "/") {
		etag = o.metadata["etag"] // the server tells what is stored, of its own objects too
	}
	if info.Size != int64(len(o.data)) || info.ETag != etag {
		s.mismatch(t, o, "HEAD: %d bytes, ETag %s, want %s", info.Size, info.ETag, etag)
	}
	s.compareInfo(t, o, "HEAD", info, info.Metadata)
	s.reads.Add(1)
	attributes, err := s.client.GetObjectAttributes(t.Context(), sealedBucket, o.name, minio.ObjectAttributesOptions{ServerSideEncryption: o.customer(t)})
	if err != nil {
		s.mismatch(t, o, "attributes: %v", err)
		return
	}
	if attributes.ObjectSize != len(o.data) || attributes.ETag != etag {
		s.mismatch(t, o, "attributes: %d bytes, ETag %s, want %s", attributes.ObjectSize, attributes.ETag, etag)
	}
}

// borders are where a plaintext can be cut wrongly: its ends, those of its packages,
// the first ones and the last of each part, and those of its parts.
func (o *sealed) borders() []int64 {
	borders := []int64{0}
	var start int64
	for _, p := range o.parts {
		full := p.size / stream.PayloadSize * stream.PayloadSize
		for _, b := range []int64{start + stream.PayloadSize, start + full, start + p.size} {
			if b <= start+p.size {
				borders = append(borders, b)
			}
		}
		start += p.size
	}
	slices.Sort(borders)
	return slices.Compact(borders)
}

func (s *sealedStore) readRanges(t *testing.T, o *sealed) {
	size := int64(len(o.data))
	if size == 0 {
		return
	}
	type span struct{ from, to int64 } // the last byte is part of it, as in HTTP
	wanted := []span{{size / 3, size / 2}}
	if size < 1<<20 {
		wanted = append(wanted, span{0, size - 1})
	}
	borders := o.borders()
	if size < 1<<20 && o.number%3 > 0 {
		borders = []int64{0, size} // there are several of each size and scheme
	}
	for _, b := range borders {
		for _, r := range []span{{b - 1, b}, {b, b}, {b - 1, b - 1}, {b - 70_000, b + 140_000}} {
			r.from, r.to = max(r.from, 0), min(r.to, size-1)
			if r.from <= r.to {
				wanted = append(wanted, r)
			}
		}
	}
	slices.SortFunc(wanted, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	for _, r := range slices.Compact(wanted) {
		s.getRange(t, o, fmt.Sprintf("bytes=%d-%d", r.from, r.to), r.from, r.to)
	}
	for _, n := range []int64{1, size + 17, size/3 + 1}[:1+o.number%3] {
		s.getRange(t, o, fmt.Sprintf("bytes=-%d", n), max(size-n, 0), size-1)
	}
	s.getRange(t, o, fmt.Sprintf("bytes=%d-", size-1), size-1, size-1)
	s.getRange(t, o, fmt.Sprintf("bytes=%d-%d", size/2, size+1000), size/2, size-1)
}

func (s *sealedStore) getRange(t *testing.T, o *sealed, value string, from, to int64) {
	options := minio.GetObjectOptions{}
	options.Set("Range", value)
	_, header := s.get(t, o, value, options, o.data[from:to+1])
	if want := fmt.Sprintf("bytes %d-%d/%d", from, to, len(o.data)); header != nil && header.Get("Content-Range") != want {
		s.mismatch(t, o, "%s: Content-Range %s, want %s", value, header.Get("Content-Range"), want)
	}
}

// readParts: the server takes the number of a part for its place, in its own objects too: the
// n-th part, and the last one where n is beyond it. Numbers that no part has are refused.
func (s *sealedStore) readParts(t *testing.T, o *sealed) {
	var starts []int64
	var end int64
	for _, p := range o.parts {
		starts = append(starts, end)
		end += p.size
	}
	for _, p := range o.parts {
		i := min(p.number, len(o.parts)) - 1
		want := o.data[starts[i]:][:o.parts[i].size]
		_, header := s.get(t, o, fmt.Sprint("part ", p.number), minio.GetObjectOptions{PartNumber: p.number}, want)
		count := ""
		if !o.single {
			count = fmt.Sprint(len(o.parts))
		}
		if got := header.Get("X-Amz-Mp-Parts-Count"); got != count {
			s.mismatch(t, o, "part %d: %q parts, want %q", p.number, got, count)
		}
	}
}

// readWithout: a reader without the key of an SSE-C object, or with another one, gets nothing.
func (s *sealedStore) readWithout(t *testing.T, o *sealed) {
	if o.request.Method != sse.C {
		return
	}
	for _, key := range []encrypt.ServerSide{nil, customerSSE(t, byte(o.number+1))} {
		s.reads.Add(1)
		_, err := s.client.StatObject(t.Context(), sealedBucket, o.name, minio.StatObjectOptions{ServerSideEncryption: key})
		if err == nil {
			s.mismatch(t, o, "it can be read with another key or none")
		}
	}
}

// copied compares a copy, whatever its ETag is.
func (s *sealedStore) copied(t *testing.T, o *sealed, name string, key encrypt.ServerSide) {
	s.reads.Add(1)
	body, info, _, err := s.client.GetObject(t.Context(), sealedBucket, name, minio.GetObjectOptions{ServerSideEncryption: key})
	if err != nil {
		s.mismatch(t, o, "its copy %s: %v", name, err)
		return
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(got, o.data) || info.Size != int64(len(o.data)) {
		s.mismatch(t, o, "its copy %s has %d other bytes, %v", name, len(got), err)
	}
}

// few are some of the objects that accept takes.
func (s *sealedStore) few(accept func(*sealed) bool) (list []*sealed) {
	for i, o := range s.objects {
		if i%5 == 1 && accept(o) {
			list = append(list, o)
		}
	}
	return list
}

// copy lets the server copy objects, under every other way of encryption.
func (s *sealedStore) copy(t *testing.T) {
	t.Helper()
	all := s.few(func(*sealed) bool { return true })
	s.each(all, func(o *sealed) {
		target := []encrypt.ServerSide{nil, encrypt.NewSSE(), managed(t, kmsKey, map[string]string{"copy": "1"}), customerSSE(t, 200)}[o.number%4]
		if target == nil && o.request.Context != nil {
			// The server forgets to take the context off, of its own objects too, and then
			// refuses the copy as one that was tampered with.
			target = encrypt.NewSSE()
		}
		var key encrypt.ServerSide
		if o.number%4 == 3 {
			key = target
		}
		name := "copies/" + o.name
		s.reads.Add(1)
		_, err := s.client.Client.CopyObject(t.Context(),
			minio.CopyDestOptions{Bucket: sealedBucket, Object: name, Encryption: target},
			minio.CopySrcOptions{Bucket: sealedBucket, Object: o.name, Encryption: o.customer(t)})
		if err != nil {
			s.mismatch(t, o, "copying it: %v", err)
			return
		}
		s.copied(t, o, name, key)
	})
	t.Logf("%d objects copied, %d mismatches", len(all), s.mismatches.Load())
}

// rotate lets the server give SSE-C objects another key, in place.
func (s *sealedStore) rotate(t *testing.T) {
	t.Helper()
	all := s.few(func(o *sealed) bool { return o.request.Method == sse.C })
	s.each(all, func(o *sealed) {
		before := o.customer(t)
		o.number++
		after := o.customer(t)
		s.reads.Add(1)
		_, err := s.client.CopyObject(t.Context(), sealedBucket, o.name, sealedBucket, o.name, rotationHeaders(before, after), minio.CopySrcOptions{}, minio.PutObjectOptions{})
		if err != nil {
			s.mismatch(t, o, "a new key for it: %v", err)
			return
		}
		s.copied(t, o, o.name, after)
		s.readRanges(t, o)
	})
	t.Logf("%d objects under new customer keys, %d mismatches", len(all), s.mismatches.Load())
}

// rotationHeaders are those of a copy from one customer key to another.
func rotationHeaders(from, to encrypt.ServerSide) map[string]string {
	h := make(http.Header)
	encrypt.SSECopy(from).Marshal(h)
	to.Marshal(h)
	m := make(map[string]string)
	for name := range h {
		m[name] = h.Get(name)
	}
	return m
}
