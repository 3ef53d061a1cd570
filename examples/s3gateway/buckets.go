package main

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/objseal/objseal/sse"
)

func (g *gateway) listBuckets(w http.ResponseWriter) error {
	type line struct{ Name, CreationDate string }
	var answer struct {
		XMLName xml.Name `xml:"ListAllMyBucketsResult"`
		Buckets struct{ Bucket []line }
	}
	names, err := g.store.buckets()
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := g.store.bucket(name)
		if err != nil {
			return err
		}
		answer.Buckets.Bucket = append(answer.Buckets.Bucket, line{name, timestamp(info.Created)})
	}
	return writeXML(w, 200, answer)
}

// encryption is what new objects of a bucket get that ask for none.
func (g *gateway) encryption(w http.ResponseWriter, req *http.Request, bucket string, info bucketInfo) error {
	switch req.Method {
	case http.MethodGet:
		text, err := info.Encryption.Marshal()
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/xml")
		_, err = w.Write(text)
		return err
	case http.MethodDelete:
		if err := g.store.setEncryption(bucket, sse.BucketEncryption{}); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPut:
		text, err := readDocument(req, req.Header)
		if err != nil {
			return err
		}
		e, err := sse.ParseBucketEncryption(text)
		if err == nil {
			err = e.Verify(req.Context(), g.client)
		}
		if err != nil {
			return err
		}
		return g.store.setEncryption(bucket, e)
	}
	return errMethod
}

// listParameters are those of a listing; others belong to operations that are not here.
var listParameters = map[string]bool{
	"list-type": true, "prefix": true, "delimiter": true, "max-keys": true, "marker": true, "encoding-type": true,
	"continuation-token": true, "start-after": true, "fetch-owner": true, "metadata": true, "x-id": true,
}

// listObjects is both versions of the listing. It reads every record of the bucket, which
// is what an example may do.
func (g *gateway) listObjects(w http.ResponseWriter, req *http.Request, bucket string, q url.Values) error {
	type line struct {
		Key, LastModified, ETag string
		Size                    int64
		StorageClass            string
	}
	type common struct{ Prefix string }
	answer := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Name, Prefix          string
		Delimiter             string  `xml:",omitempty"`
		EncodingType          string  `xml:",omitempty"`
		Marker                *string `xml:",omitempty"`
		NextMarker            string  `xml:",omitempty"`
		StartAfter            string  `xml:",omitempty"`
		ContinuationToken     string  `xml:",omitempty"`
		NextContinuationToken string  `xml:",omitempty"`
		KeyCount              *int    `xml:",omitempty"`
		MaxKeys               int
		IsTruncated           bool
		Contents              []line
		CommonPrefixes        []common
	}{Name: bucket, Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), EncodingType: q.Get("encoding-type"), MaxKeys: min(number(q, "max-keys", 1000), 1000)}
	shown := func(key string) string { return key }
	switch answer.EncodingType {
	case "":
	case "url":
		shown = func(key string) string { return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/") }
	default:
		return errEncoding
	}
	v2 := q.Get("list-type") == "2"
	after := q.Get("marker")
	if v2 {
		after, answer.StartAfter, answer.ContinuationToken = q.Get("start-after"), shown(q.Get("start-after")), q.Get("continuation-token")
		if answer.ContinuationToken != "" {
			token, err := base64.RawURLEncoding.DecodeString(answer.ContinuationToken)
			if err != nil {
				return refused(400, "InvalidArgument", "The continuation token provided is incorrect")
			}
			after = string(token)
		}
	}

	var records []*record
	for r, err := range g.store.list(bucket) {
		if err != nil {
			return err
		}
		if strings.HasPrefix(r.Name, answer.Prefix) {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b *record) int { return strings.Compare(a.Name, b.Name) })

	var page []*record
	last := ""
	for _, r := range records {
		key := r.Name
		folded := false
		if answer.Delimiter != "" {
			if head, _, ok := strings.Cut(key[len(answer.Prefix):], answer.Delimiter); ok {
				key, folded = answer.Prefix+head+answer.Delimiter, true
			}
		}
		if key <= after || folded && key == last || folded && strings.HasPrefix(after, key) {
			continue
		}
		if len(page)+len(answer.CommonPrefixes) == answer.MaxKeys {
			answer.IsTruncated = answer.MaxKeys > 0
			break
		}
		last = key
		if folded {
			answer.CommonPrefixes = append(answer.CommonPrefixes, common{shown(key)})
		} else {
			page = append(page, r)
		}
	}

	var listed []sse.Listed
	for _, r := range page {
		listed = append(listed, sse.Listed{Name: r.name(), Metadata: fromBytes(r.Metadata)})
	}
	etags, err := sse.ListETags(req.Context(), g.client, listed, 0)
	if err != nil {
		return err
	}
	for i, r := range page {
		answer.Contents = append(answer.Contents, line{shown(r.Name), timestamp(r.Modified), `"` + etags[i] + `"`, r.size(), "STANDARD"})
	}
	if v2 {
		count := len(page) + len(answer.CommonPrefixes)
		answer.KeyCount = &count
		if answer.IsTruncated {
			answer.NextContinuationToken = base64.RawURLEncoding.EncodeToString([]byte(last))
		}
	} else {
		marker := shown(after)
		if answer.Marker = &marker; answer.IsTruncated {
			answer.NextMarker = shown(last)
		}
	}
	answer.Prefix, answer.Delimiter = shown(answer.Prefix), shown(answer.Delimiter)
	return writeXML(w, 200, answer)
}

func (g *gateway) deleteObjects(w http.ResponseWriter, req *http.Request, bucket string) error {
	var list struct {
		Quiet  bool
		Object []struct{ Key, VersionId string }
	}
	if err := readXML(req, req.Header, &list); err != nil {
		return err
	}
	if len(list.Object) == 0 || len(list.Object) > 1000 {
		return errMalformedXML
	}
	type deleted struct{ Key string }
	type failure struct{ Key, Code, Message string }
	var answer struct {
		XMLName xml.Name `xml:"DeleteResult"`
		Deleted []deleted
		Error   []failure
	}
	for _, o := range list.Object {
		err := errNoSuchVersion
		if isCurrent(o.VersionId) {
			err = g.store.delete(sse.ObjectName{Bucket: bucket, Object: o.Key})
		}
		if err != nil {
			r := sse.ErrorResponse(err)
			answer.Error = append(answer.Error, failure{o.Key, r.Code, r.Message})
		} else if !list.Quiet {
			answer.Deleted = append(answer.Deleted, deleted{o.Key})
		}
	}
	return writeXML(w, 200, answer)
}
