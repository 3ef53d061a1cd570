package clients

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"io"
	"mime/multipart"
	"net/http"
)

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// formError is the answer to a form or a link, which no S3 client reads.
type formError struct{ Code string }

func (e *formError) Error() string { return e.Code }

// postForm sends what a browser would, with the fields that a client has signed.
func postForm(ctx context.Context, client *http.Client, url string, fields map[string]string, file []byte) (*Result, error) {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for _, name := range sortedKeys(fields) {
		if err := w.WriteField(name, fields[name]); err != nil {
			return nil, err
		}
	}
	f, err := w.CreateFormFile("file", "name")
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(file); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, &form)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	return send(client, req)
}

// getURL gets what is behind a signed link.
func getURL(ctx context.Context, client *http.Client, url string) (*Result, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return send(client, req)
}

func send(client *http.Client, req *http.Request) (*Result, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		answer := &formError{}
		_ = xml.Unmarshal(body, answer) // no answer in XML has no code
		return nil, answer
	}
	return &Result{ETag: trim(resp.Header.Get("ETag")), Body: body}, nil
}

func trim(etag string) string {
	if n := len(etag); n > 1 && etag[0] == '"' && etag[n-1] == '"' {
		return etag[1 : n-1]
	}
	return etag
}
