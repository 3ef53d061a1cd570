package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"
)

func crcOf(b []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)))
}

// TestMultipart: parts out of order, with gaps in their numbers, and sent again; with
// copied ones among them.
func TestMultipart(t *testing.T) {
	s := newGateway(t)
	long := text(2*minPartSize + 12345)
	first, second, last := long[:minPartSize], long[minPartSize:2*minPartSize], long[2*minPartSize:]
	s.call("PUT", "/abc/source", header(encryptionHeader, "AES256"), long, 200)
	for _, scheme := range schemes() {
		h := with(scheme.write, "X-Amz-Meta-Is", "in parts", "Content-Type", "text/x")
		customer := customerOf(scheme.write)
		id := s.create("/abc/o", h)
		etags := map[int]string{9: s.part("/abc/o", id, 9, customer, last), 2: s.part("/abc/o", id, 2, customer, last)}
		earlier := etags[2]
		etags[2] = s.part("/abc/o", id, 2, customer, first)
		var copied struct{ ETag string }
		s.xml(s.call("PUT", "/abc/o?partNumber=5&uploadId="+id, with(customer, "X-Amz-Copy-Source", "/abc/source",
			"X-Amz-Copy-Source-Range", fmt.Sprintf("bytes=%d-%d", minPartSize, 2*minPartSize-1)), nil, 200), &copied)
		etags[5] = strings.Trim(copied.ETag, `"`)

		var list struct {
			IsTruncated          bool
			NextPartNumberMarker int
			Part                 []struct {
				PartNumber, Size int
				ETag             string
			}
		}
		s.xml(s.call("GET", "/abc/o?uploadId="+id, nil, nil, 200), &list)
		if len(list.Part) != 3 || list.IsTruncated {
			t.Fatalf("%s: parts %+v", scheme.name, list)
		}
		for i, number := range []int{2, 5, 9} {
			p, size := list.Part[i], []int{minPartSize, minPartSize, len(last)}[i]
			if p.PartNumber != number || p.Size != size || p.ETag != `"`+etags[number]+`"` {
				t.Errorf("%s: part %+v, not %d with %s", scheme.name, p, number, etags[number])
			}
		}
		list.Part = nil
		s.xml(s.call("GET", "/abc/o?max-parts=1&part-number-marker=2&uploadId="+id, nil, nil, 200), &list)
		if len(list.Part) != 1 || list.Part[0].PartNumber != 5 || !list.IsTruncated || list.NextPartNumberMarker != 5 {
			t.Errorf("%s: a page of parts %+v", scheme.name, list)
		}

		path := "/abc/o?uploadId=" + id
		for code, body := range map[string][]byte{
			"InvalidPart":      completionOf(map[int]string{2: earlier}), // of what was sent before
			"InvalidPartOrder": []byte("<CompleteMultipartUpload><Part><PartNumber>5</PartNumber><ETag>" + etags[5] + "</ETag></Part><Part><PartNumber>2</PartNumber><ETag>" + etags[2] + "</ETag></Part></CompleteMultipartUpload>"),
			"MalformedXML":     []byte("<CompleteMultipartUpload></CompleteMultipartUpload>"),
		} {
			s.refused("POST", path, customer, body, code)
		}
		s.refused("POST", path, customer, completionOf(map[int]string{2: etags[2], 3: etags[2]}), "InvalidPart")
		s.refused("POST", path, customer, []byte("<Complete"), "MalformedXML")
		s.refused("POST", path, customer, []byte("<Other/>"), "MalformedXML")
		s.refused("POST", path, customer, nil, "MalformedXML")
		s.refused("POST", "/abc/other?uploadId="+id, customer, completionOf(etags), "NoSuchUpload")
		s.refused("PUT", "/abc/other?partNumber=1&uploadId="+id, customer, nil, "NoSuchUpload")
		for _, number := range []string{"0", "10001", "-1", "x", ""} {
			s.refused("PUT", path+"&partNumber="+number, customer, nil, "InvalidArgument")
		}
		s.refused("GET", "/abc/o", scheme.read, nil, "NoSuchKey")

		a := s.call("POST", path, nil, completionOf(etags), 200) // a customer key need not be sent again
		var done struct{ ETag, Bucket, Key string }
		s.xml(a, &done)
		raw := make([]byte, 0, 48)
		for _, number := range []int{2, 5, 9} {
			b, err := hex.DecodeString(etags[number])
			if err != nil {
				t.Fatal(err)
			}
			raw = append(raw, b...)
		}
		if want := `"` + md5Hex(raw) + `-3"`; done.ETag != want || done.Key != "o" {
			t.Errorf("%s: %+v, not %s", scheme.name, done, want)
		}
		got := s.call("GET", "/abc/o", scheme.read, nil, 200)
		if !bytes.Equal(got.body, long) || got.header.Get("Etag") != done.ETag || got.header.Get("X-Amz-Meta-Is") != "in parts" || got.header.Get("Content-Type") != "text/x" {
			t.Errorf("%s: %d bytes, %v", scheme.name, len(got.body), got.header)
		}
		if got.header.Get(encryptionHeader) != scheme.write.Get(encryptionHeader) {
			t.Errorf("%s: %v", scheme.name, got.header)
		}
		if !bytes.Equal(got.body[minPartSize:2*minPartSize], second) {
			t.Errorf("%s: the copied part has other bytes", scheme.name)
		}
		s.refused("POST", path, customer, completionOf(etags), "NoSuchUpload")
		s.refused("PUT", path+"&partNumber=1", customer, nil, "NoSuchUpload")
		s.call("DELETE", "/abc/o", nil, nil, 204)

		// One that is aborted, and one with parts that are too small.
		id = s.create("/abc/o", h)
		small := map[int]string{1: s.part("/abc/o", id, 1, customer, last), 2: s.part("/abc/o", id, 2, customer, nil)}
		s.refused("POST", "/abc/o?uploadId="+id, customer, completionOf(small), "EntityTooSmall")
		s.call("DELETE", "/abc/o?uploadId="+id, nil, nil, 204)
		s.refused("DELETE", "/abc/o?uploadId="+id, nil, nil, "NoSuchUpload")
		s.refused("GET", "/abc/o?uploadId="+id, nil, nil, "NoSuchUpload")
		// Parts that are not in the list go with the upload.
		id = s.create("/abc/o", h)
		small = map[int]string{1: s.part("/abc/o", id, 1, customer, last)}
		s.part("/abc/o", id, 2, customer, last)
		s.call("POST", "/abc/o?uploadId="+id, with(customer, "If-None-Match", "*"), completionOf(small), 200)
		id = s.create("/abc/o", h)
		small = map[int]string{1: s.part("/abc/o", id, 1, customer, last)}
		s.refused("POST", "/abc/o?uploadId="+id, with(customer, "If-None-Match", "*"), completionOf(small), "PreconditionFailed")
		s.call("DELETE", "/abc/o?uploadId="+id, nil, nil, 204)
		s.call("DELETE", "/abc/o", nil, nil, 204)
		if data, _ := count(t, s.g.store); data != 1 {
			t.Errorf("%s: %d data files of one object", scheme.name, data)
		}
	}
	for _, id := range []string{"", "x", "../../abc", strings.Repeat("A", 26)} {
		s.refused("PUT", "/abc/o?partNumber=1&uploadId="+id, nil, nil, "NoSuchUpload")
	}
}

// TestCopyRange: that of a part is taken as it is, or refused.
func TestCopyRange(t *testing.T) {
	s := newGateway(t)
	s.call("PUT", "/abc/source", nil, text(1000), 200)
	id := s.create("/abc/o", nil)
	for span, code := range map[string]string{
		"bytes=0-999": "", "bytes=999-999": "", "bytes=0-1000": "InvalidArgument", "bytes=1000-1000": "InvalidArgument", "bytes=5-4": "InvalidArgument",
		"bytes=0-": "InvalidArgument", "bytes=-5": "InvalidArgument", "0-5": "InvalidArgument", "bytes=0-1,3-4": "InvalidArgument", "bytes=a-b": "InvalidArgument",
	} {
		s.refused("PUT", "/abc/o?partNumber=1&uploadId="+id, header("X-Amz-Copy-Source", "/abc/source", "X-Amz-Copy-Source-Range", span), nil, code)
	}
}

// TestMultipartChecksums: over the parts' digests, or over the whole; computed where the
// client says nothing, compared where it does.
func TestMultipartChecksums(t *testing.T) {
	s := newGateway(t)
	long := text(minPartSize + 99)
	first, last := long[:minPartSize], long[minPartSize:]
	digests := sha256.Sum256(bytes.Join([][]byte{sum256(first), sum256(last)}, nil))
	composite := base64.StdEncoding.EncodeToString(digests[:]) + "-2"
	for _, scheme := range schemes() {
		customer := customerOf(scheme.write)
		for _, test := range []struct {
			algorithm, kind, want, part string
		}{
			{"CRC32", "FULL_OBJECT", crcOf(long), crcOf(last)},
			{"SHA256", "COMPOSITE", composite, base64.StdEncoding.EncodeToString(sum256(last))},
		} {
			name := "X-Amz-Checksum-" + strings.ToLower(test.algorithm)
			id := s.create("/abc/o", with(scheme.write, "X-Amz-Checksum-Algorithm", test.algorithm, "X-Amz-Checksum-Type", test.kind))
			path := "/abc/o?uploadId=" + id
			etags := map[int]string{1: s.part("/abc/o", id, 1, customer, first)}
			a := s.call("PUT", path+"&partNumber=4", with(customer, name, test.part), last, 200)
			etags[4] = strings.Trim(a.header.Get("Etag"), `"`)
			if a.header.Get(name) != test.part {
				t.Errorf("%s, %s: the part has %v", scheme.name, test.algorithm, a.header)
			}
			s.refused("PUT", path+"&partNumber=5", with(customer, name, base64.StdEncoding.EncodeToString(make([]byte, len(sum256(nil)))[:map[string]int{"CRC32": 4, "SHA256": 32}[test.algorithm]])), last, "BadDigest")
			s.refused("PUT", path+"&partNumber=5", with(customer, "X-Amz-Checksum-Crc32c", "AAAAAA=="), last, "InvalidRequest")
			if scheme.name == "C" { // the checksum is sealed under the key
				s.refused("POST", path, nil, completionOf(etags), "InvalidRequest")
			}
			other := strings.Replace(test.want, test.want[:2], "AB", 1)
			s.refused("POST", path, with(customer, name, other), completionOf(etags), "BadDigest")
			list := bytes.Replace(completionOf(etags), []byte("<PartNumber>4"), fmt.Appendf(nil, "<Checksum%s>%s</Checksum%s><PartNumber>4", test.algorithm, test.part, test.algorithm), 1)
			wrong := bytes.Replace(completionOf(etags), []byte("<PartNumber>1"), fmt.Appendf(nil, "<Checksum%s>%s</Checksum%s><PartNumber>1", test.algorithm, test.part, test.algorithm), 1)
			s.refused("POST", path, customer, wrong, "InvalidPart")
			var done struct{ ChecksumCRC32, ChecksumSHA256, ChecksumType string }
			s.xml(s.call("POST", path, with(customer, name, test.want), list, 200), &done)
			if done.ChecksumCRC32+done.ChecksumSHA256 != test.want || done.ChecksumType != test.kind {
				t.Errorf("%s, %s: completed with %+v, not %s", scheme.name, test.algorithm, done, test.want)
			}
			a = s.call("GET", "/abc/o", with(scheme.read, "X-Amz-Checksum-Mode", "ENABLED"), nil, 200)
			if a.header.Get(name) != test.want || a.header.Get("X-Amz-Checksum-Type") != test.kind || !bytes.Equal(a.body, long) {
				t.Errorf("%s, %s: read %v", scheme.name, test.algorithm, a.header)
			}
		}
	}
	for _, h := range []http.Header{
		header("X-Amz-Checksum-Algorithm", "SHA1", "X-Amz-Checksum-Type", "FULL_OBJECT"), header("X-Amz-Checksum-Algorithm", "CRC64NVME", "X-Amz-Checksum-Type", "COMPOSITE"),
		header("X-Amz-Checksum-Algorithm", "MD5"),
	} {
		s.refused("POST", "/abc/o?uploads=", h, nil, "InvalidRequest")
	}
}

func sum256(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

func TestListUploads(t *testing.T) {
	s := newGateway(t)
	want := []string{s.create("/abc/a", nil), s.create("/abc/b/1", nil), s.create("/abc/b/2", header(encryptionHeader, "AES256"))}
	var list struct {
		Upload []struct{ Key, UploadId string }
	}
	s.xml(s.call("GET", "/abc?uploads=", nil, nil, 200), &list)
	if len(list.Upload) != 3 {
		t.Fatalf("%+v", list)
	}
	for i, key := range []string{"a", "b/1", "b/2"} {
		if list.Upload[i].Key != key || list.Upload[i].UploadId != want[i] {
			t.Errorf("%+v, not %s %s", list.Upload[i], key, want[i])
		}
	}
	list.Upload = nil
	s.xml(s.call("GET", "/abc?uploads=&prefix=b/", nil, nil, 200), &list)
	if len(list.Upload) != 2 {
		t.Errorf("%+v", list)
	}
	s.call("DELETE", "/abc", nil, nil, 204) // they go with the bucket
	if left := tree(t, s.g.store); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
