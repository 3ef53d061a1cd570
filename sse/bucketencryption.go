package sse

import (
	"bytes"
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"strings"

	"github.com/objseal/objseal/kms"
)

// BucketEncryption is the default encryption of a bucket: what a request gets
// that asks for none. The zero value is none.
type BucketEncryption struct {
	Method   Method // S3 or KMS
	KMSKeyID string // of KMS, as it was given: perhaps with the prefix "arn:aws:kms:"
}

// ErrNoBucketEncryption is for a backend whose client asks for a default
// encryption that the bucket does not have.
var ErrNoBucketEncryption error = &RequestError{Response: Response{http.StatusNotFound, "ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found"}}

const (
	bucketEncryptionSpace = "http://s3.amazonaws.com/doc/2006-03-01/"
	// Far more than anybody has to say in it.
	maxBucketEncryption = 64 << 10
)

type bucketEncryptionXML struct {
	XMLName xml.Name
	Rules   []struct {
		Default *struct {
			Algorithm string `xml:"SSEAlgorithm"`
			KeyID     string `xml:"KMSMasterKeyID,omitempty"`
		} `xml:"ApplyServerSideEncryptionByDefault"`
	} `xml:"Rule"`
}

// ParseBucketEncryption reads the body of PutBucketEncryption, or what
// [BucketEncryption.Marshal] made of it (SSE spec section 12). Elements that it
// does not know, such as BucketKeyEnabled, are passed over. Errors are
// *RequestError, 400 MalformedXML.
func ParseBucketEncryption(text []byte) (BucketEncryption, error) {
	if len(text) > maxBucketEncryption {
		return BucketEncryption{}, malformedXML("too long")
	}
	var doc bucketEncryptionXML
	d := xml.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&doc); err != nil || doc.XMLName.Local != "ServerSideEncryptionConfiguration" || doc.XMLName.Space != "" && doc.XMLName.Space != bucketEncryptionSpace {
		return BucketEncryption{}, malformedXML("")
	}
	for {
		switch t, err := d.Token(); t := t.(type) {
		case nil:
			if err != io.EOF {
				return BucketEncryption{}, malformedXML("")
			}
			return doc.check()
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return BucketEncryption{}, malformedXML("")
			}
		case xml.Comment, xml.ProcInst:
		default:
			return BucketEncryption{}, malformedXML("")
		}
	}
}

func (doc *bucketEncryptionXML) check() (BucketEncryption, error) {
	if len(doc.Rules) != 1 {
		return BucketEncryption{}, malformedXML("only one server-side encryption rule is allowed at a time")
	}
	rule := doc.Rules[0].Default
	switch {
	case rule == nil:
		return BucketEncryption{}, malformedXML("ApplyServerSideEncryptionByDefault is missing")
	case rule.Algorithm == "AES256" && rule.KeyID != "":
		return BucketEncryption{}, malformedXML("MasterKeyID is allowed with aws:kms only")
	case rule.Algorithm == "AES256":
		return BucketEncryption{Method: S3}, nil
	case rule.Algorithm != "aws:kms":
		return BucketEncryption{}, malformedXML("Unknown SSE algorithm")
	}
	b := BucketEncryption{KMS, rule.KeyID}
	switch {
	case b.keyID() == "":
		return BucketEncryption{}, malformedXML("MasterKeyID is missing with aws:kms")
	case !b.trimmed():
		return BucketEncryption{}, malformedXML("MasterKeyID contains unsupported characters")
	}
	return b, nil
}

func malformedXML(problem string) error {
	message := "The XML you provided was not well-formed or did not validate against our published schema."
	if problem != "" {
		message += " (" + problem + ")"
	}
	return &RequestError{Response: Response{http.StatusBadRequest, "MalformedXML", message}}
}

// Marshal returns the XML that ParseBucketEncryption reads, the answer to
// GetBucketEncryption. It is ErrNoBucketEncryption for the zero value, and
// ErrInvalidRequest for what ParseBucketEncryption does not return.
func (b BucketEncryption) Marshal() ([]byte, error) {
	algorithm := map[Method]string{S3: "AES256", KMS: "aws:kms"}[b.Method]
	switch {
	case b == BucketEncryption{}:
		return nil, ErrNoBucketEncryption
	case algorithm == "" || b.Method == KMS && b.keyID() == "" || b.Method == S3 && b.KMSKeyID != "" || !b.trimmed():
		return nil, invalidRequest("a bucket's default encryption is SSE-S3, or SSE-KMS with a key")
	}
	var out bytes.Buffer
	out.WriteString(`<ServerSideEncryptionConfiguration xmlns="` + bucketEncryptionSpace + `"><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>` + algorithm + `</SSEAlgorithm>`)
	if b.KMSKeyID != "" {
		out.WriteString("<KMSMasterKeyID>")
		if err := xml.EscapeText(&out, []byte(b.KMSKeyID)); err != nil {
			return nil, err
		}
		out.WriteString("</KMSMasterKeyID>")
	}
	out.WriteString("</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>")
	return out.Bytes(), nil
}

// Verify asks client for a data key under the key that b names, so that a
// bucket does not get a default that no upload can fulfil. SSE-S3 needs a
// key server too, but no request to it. Errors are *kms.Error.
func (b BucketEncryption) Verify(ctx context.Context, client *kms.Client) error {
	if b.Method != KMS {
		if client == nil {
			return &kms.Error{Op: kms.OpGenerateKey, Err: kms.ErrNotConfigured}
		}
		return nil
	}
	key, err := client.GenerateKey(ctx, b.keyID(), kms.AssociatedData{"MinIO admin API": "ServerInfoHandler"})
	key.Key.Wipe()
	return err
}

// trimmed reports whether no space is around the key id, or behind its prefix.
func (b BucketEncryption) trimmed() bool {
	return strings.TrimSpace(b.KMSKeyID) == b.KMSKeyID && strings.TrimSpace(b.keyID()) == b.keyID()
}

// keyID is the name of the key at the key server.
func (b BucketEncryption) keyID() string { return strings.TrimPrefix(b.KMSKeyID, arnPrefix) }
