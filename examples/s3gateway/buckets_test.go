package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
)

type listing struct {
	IsTruncated                       bool
	NextContinuationToken, NextMarker string
	KeyCount                          int
	EncodingType                      string
	Contents                          []struct {
		Key, ETag string
		Size      int
	}
	CommonPrefixes []struct{ Prefix string }
}

// TestList: both versions, in pages of every size, with and without delimiter.
func TestList(t *testing.T) {
	s := newGateway(t)
	names := []string{"a", "b/1", "b/2", "b/c/3", "c d+é&", "d/", "e", "z/1"}
	for i, name := range names {
		s.call("PUT", "/abc/"+url.PathEscape(name), schemes()[i%4].write, text(i), 200)
	}
	for _, test := range []struct {
		prefix, delimiter string
		want              []string
	}{
		{"", "", names},
		{"", "/", []string{"a", "b/", "c d+é&", "d/", "e", "z/"}},
		{"b/", "/", []string{"b/1", "b/2", "b/c/"}},
		{"b", "/", []string{"b/"}},
		{"b/", "", []string{"b/1", "b/2", "b/c/3"}},
		{"", "b/", []string{"a", "b/", "c d+é&", "d/", "e", "z/1"}},
		{"x", "", nil},
	} {
		for _, version := range []string{"1", "2"} {
			for _, size := range []int{1, 2, 3, 1000} {
				var got []string
				after := ""
				for range len(names) + 1 {
					q := url.Values{"prefix": {test.prefix}, "delimiter": {test.delimiter}, "max-keys": {fmt.Sprint(size)}, "encoding-type": {"url"}}
					if version == "2" {
						q.Set("list-type", "2")
					}
					if after != "" {
						q.Set(map[string]string{"1": "marker", "2": "continuation-token"}[version], after)
					}
					var list listing
					s.xml(s.call("GET", "/abc?"+q.Encode(), nil, nil, 200), &list)
					if n := len(list.Contents) + len(list.CommonPrefixes); n > size || version == "2" && n != list.KeyCount || n < size && list.IsTruncated {
						t.Errorf("%+v, pages of %d: %+v", test, size, list)
					}
					var page []string
					for _, c := range list.Contents {
						name, err := url.QueryUnescape(c.Key)
						if err != nil {
							t.Fatal(err)
						}
						page = append(page, name)
						i := slices.Index(names, name)
						if c.Size != i || (i%4 < 2) != (c.ETag == `"`+md5Hex(text(i))+`"`) {
							t.Errorf("%+v", c)
						}
					}
					for _, p := range list.CommonPrefixes {
						name, err := url.QueryUnescape(p.Prefix)
						if err != nil {
							t.Fatal(err)
						}
						page = append(page, name)
					}
					slices.Sort(page)
					got = append(got, page...)
					if !list.IsTruncated {
						break
					}
					if after = list.NextContinuationToken; version == "1" {
						if after, _ = url.QueryUnescape(list.NextMarker); after == "" {
							after = page[len(page)-1]
						}
					}
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("prefix %q, delimiter %q, version %s, pages of %d: %q, not %q", test.prefix, test.delimiter, version, size, got, test.want)
				}
			}
		}
	}
	var list listing
	s.xml(s.call("GET", "/abc?list-type=2&start-after=d/", nil, nil, 200), &list)
	if len(list.Contents) != 2 || list.Contents[0].Key != "e" {
		t.Errorf("after d/: %+v", list)
	}
	s.xml(s.call("GET", "/abc?list-type=2&max-keys=0", nil, nil, 200), &list)
	if list.IsTruncated || list.KeyCount != 0 {
		t.Errorf("of none: %+v", list)
	}
	s.refused("GET", "/abc?list-type=2&continuation-token=!", nil, nil, "InvalidArgument")
	s.refused("GET", "/abc?encoding-type=html", nil, nil, "InvalidArgument")
	s.refused("GET", "/nobucket", nil, nil, "NoSuchBucket")
}

func TestDeleteObjects(t *testing.T) {
	s := newGateway(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		s.call("PUT", "/abc/"+name, nil, nil, 200)
	}
	var done struct {
		Deleted []struct{ Key string }
		Error   []struct{ Key, Code string }
	}
	s.xml(s.call("POST", "/abc?delete=", nil, []byte("<Delete><Object><Key>a</Key></Object><Object><Key>nothing</Key></Object></Delete>"), 200), &done)
	if len(done.Deleted) != 2 || len(done.Error) != 0 {
		t.Errorf("%+v", done)
	}
	done.Deleted = nil
	s.xml(s.call("POST", "/abc?delete=", nil, []byte("<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object><Object><Key>../abc/c</Key></Object></Delete>"), 200), &done)
	if len(done.Deleted) != 0 {
		t.Errorf("quietly: %+v", done)
	}
	var list listing
	s.xml(s.call("GET", "/abc", nil, nil, 200), &list)
	if len(list.Contents) != 2 {
		t.Errorf("left: %+v", list)
	}
	for _, body := range []string{"", "<Delete/>", "<Delete>", "<Delete>" + strings.Repeat("<Object><Key>x</Key></Object>", 1001) + "</Delete>", strings.Repeat(" ", maxDocument+1)} {
		s.refused("POST", "/abc?delete=", nil, []byte(body), "MalformedXML")
	}
}

func TestBuckets(t *testing.T) {
	s := newGateway(t)
	s.call("PUT", "/abc.d", nil, nil, 200)
	s.refused("PUT", "/abc", nil, nil, "BucketAlreadyOwnedByYou")
	for _, name := range []string{"Abc", "ab", "_lock", "..", "a..b", "%2e%2e", "a%2fb"} {
		if a, err := s.do("PUT", "/"+name, nil, nil); err != nil || a.status < 400 && name != "a%2fb" {
			t.Errorf("%s: %d, %v", name, a.status, err)
		}
	}
	var all struct {
		Buckets struct{ Bucket []struct{ Name string } }
	}
	s.xml(s.call("GET", "/", nil, nil, 200), &all)
	if len(all.Buckets.Bucket) != 2 || all.Buckets.Bucket[1].Name != "abc.d" {
		t.Errorf("%+v", all)
	}
	s.call("HEAD", "/abc", nil, nil, 200)
	s.refused("HEAD", "/abd", nil, nil, "NoSuchBucket")
	s.call("PUT", "/abc.d/x", nil, nil, 200)
	s.refused("DELETE", "/abc.d", nil, nil, "BucketNotEmpty")
	s.call("DELETE", "/abc.d/x", nil, nil, 204)
	s.call("DELETE", "/abc.d", nil, nil, 204)
	s.refused("DELETE", "/abc.d", nil, nil, "NoSuchBucket")
	s.refused("PUT", "/abc.d/x", nil, nil, "NoSuchBucket")
	for _, query := range []string{"location", "versioning"} {
		s.call("GET", "/abc?"+query, nil, nil, 200)
	}
	for _, query := range []string{"versions", "lifecycle", "cors", "acl"} {
		s.refused("GET", "/abc?"+query, nil, nil, "NotImplemented")
	}
	s.refused("PATCH", "/abc/x", nil, nil, "MethodNotAllowed")
	s.refused("PUT", "/", nil, nil, "MethodNotAllowed")
}

// TestBucketEncryption: what is set is what objects get that ask for nothing, whichever
// way they come.
func TestBucketEncryption(t *testing.T) {
	s := newGateway(t)
	const config = `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>%s</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`
	s.call("PUT", "/abc/before", nil, []byte("plain"), 200)
	s.refused("GET", "/abc?encryption=", nil, nil, "ServerSideEncryptionConfigurationNotFoundError")
	for rule, want := range map[string]string{
		"<SSEAlgorithm>AES256</SSEAlgorithm>":                                     "AES256",
		"<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>k2</KMSMasterKeyID>": "aws:kms",
	} {
		s.call("PUT", "/abc?encryption=", nil, fmt.Appendf(nil, config, rule), 200)
		if a := s.call("GET", "/abc?encryption=", nil, nil, 200); !strings.Contains(string(a.body), rule) {
			t.Errorf("%s", a.body)
		}
		s.call("PUT", "/abc/put", nil, []byte("content"), 200)
		s.call("PUT", "/abc/copy", header("X-Amz-Copy-Source", "/abc/before"), nil, 200)
		s.upload("/abc/parts", nil, map[int][]byte{1: []byte("content")}, 1)
		for _, name := range []string{"put", "copy", "parts"} {
			if a := s.call("GET", "/abc/"+name, nil, nil, 200); a.header.Get(encryptionHeader) != want || want == "aws:kms" && a.header.Get(encryptionHeader+"-Aws-Kms-Key-Id") != "arn:aws:kms:k2" {
				t.Errorf("%s: %v", name, a.header)
			}
		}
		s.call("PUT", "/abc/own", schemes()[3].write, []byte("content"), 200)
		s.refused("GET", "/abc/own", nil, nil, "InvalidRequest")
	}
	if a := s.call("GET", "/abc/before", nil, nil, 200); string(a.body) != "plain" || a.header.Get(encryptionHeader) != "" {
		t.Errorf("what was there before: %v", a.header)
	}
	s.refused("PUT", "/abc?encryption=", nil, fmt.Appendf(nil, config, "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>nokey</KMSMasterKeyID>"), "kms:KeyNotFound")
	s.refused("PUT", "/abc?encryption=", nil, []byte("<"), "MalformedXML")
	s.calls.allowed = func(string) error { return kms.ErrUnreachable }
	s.refused("PUT", "/abc?encryption=", nil, fmt.Appendf(nil, config, "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>k1</KMSMasterKeyID>"), "kms:KeyGenerationFailed")
	s.calls.allowed = func(string) error { return nil }
	s.call("DELETE", "/abc?encryption=", nil, nil, 204)
	s.call("PUT", "/abc/put", nil, []byte("content"), 200)
	if a := s.call("HEAD", "/abc/put", nil, nil, 200); a.header.Get(encryptionHeader) != "" {
		t.Errorf("without a default: %v", a.header)
	}
	s.g.autoEncryption = true
	s.call("PUT", "/abc/put", nil, []byte("content"), 200)
	if a := s.call("HEAD", "/abc/put", nil, nil, 200); a.header.Get(encryptionHeader) != "aws:kms" {
		t.Errorf("automatically: %v", a.header)
	}
}

// TestErrors: in the form of S3, with nothing in them that was not sent.
func TestErrors(t *testing.T) {
	s := newGateway(t)
	var told struct{ Code, Message, BucketName, Key, Resource, RequestId, HostId string }
	a := s.call("GET", "/abc/a%3Cb%3E%00", nil, nil, http.StatusNotFound)
	s.xml(a, &told)
	if told.Code != "NoSuchKey" || told.BucketName != "abc" || told.Resource == "" || told.RequestId != a.header.Get("X-Amz-Request-Id") || told.RequestId == "" || told.HostId == "" {
		t.Errorf("%+v", told)
	}
	for _, key := range []string{"../x", "a/../../x", "./x", "%2e%2e/x"} {
		for _, method := range []string{"GET", "PUT", "HEAD", "DELETE"} {
			if a, err := s.do(method, "/abc/"+key, nil, nil); err != nil || a.status < 400 {
				t.Errorf("%s %s: %d, %v", method, key, a.status, err)
			}
		}
	}
	if a := s.refused("HEAD", "/abc/none", nil, nil, "NoSuchKey"); len(a.body) != 0 || a.message == "" {
		t.Errorf("HEAD: %q, %q", a.body, a.message)
	}
	s.refused("PUT", "/abc/"+strings.Repeat("k", 1025), nil, nil, "XMinioInvalidResourceName")
}
