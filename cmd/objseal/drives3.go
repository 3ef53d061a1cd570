package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"

	"github.com/minio/minio-go/v7"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/config"
	"github.com/objseal/objseal/drive/recovery"
	"github.com/objseal/objseal/drive/recovery/s3"
)

// openS3 returns the output of --out s3://…; credentials are where AWS's tools have them.
func (f *recoverFlags) openS3(d *drive.Deployment) (recovery.Sink, error) {
	t, err := s3.ParseTarget(f.out)
	if err != nil {
		return nil, &usageError{err}
	}
	endpoint := f.s3Endpoint
	if endpoint == "" {
		endpoint = firstEnv("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
	}
	if endpoint == "" {
		return nil, usagef("--s3-endpoint must say which store %s is in", f.out)
	}
	o := s3.Options{
		Endpoint:     endpoint,
		AccessKey:    os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretKey:    os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
		Region:       firstEnv("AWS_REGION", "AWS_DEFAULT_REGION"),
		Resume:       f.resume,
		Versions:     f.o.AllVersions,
	}
	if f.o.AllVersions {
		o.Source = func(ctx context.Context, bucket string) (versioning, lock bool) {
			b, err := config.LookupBucket(ctx, d, bucket)
			if err != nil {
				return true, false // nothing is known, nothing must be lost
			}
			return len(b.Setting("versioning")) > 0, b.LockEnabled
		}
	}
	if o.AccessKey == "" || o.SecretKey == "" {
		return nil, usagef("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set for %s", f.out)
	}
	if file := os.Getenv("AWS_CA_BUNDLE"); file != "" {
		if o.Transport, err = trusting(file); err != nil {
			return nil, err
		}
	}
	sink, err := s3.New(t, o)
	if err != nil {
		return nil, &usageError{err}
	}
	return sink, nil
}

func firstEnv(names ...string) string {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// trusting returns a transport that trusts the certificates in file alone, as AWS's
// tools do with AWS_CA_BUNDLE.
func trusting(file string) (http.RoundTripper, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: there is no certificate in %s", file)
	}
	transport, err := minio.DefaultTransport(true)
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return transport, nil
}
