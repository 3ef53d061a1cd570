package kestest_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"testing"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/kestest"
)

func Example() {
	s := kestest.NewServer()
	defer s.Close()
	s.CreateKey("app-1")
	s.Inject("/v1/key/generate/", 1, kestest.Status(500, "out of order"))

	client := kms.NewClient(s.Backend(nil), &kms.Options{DefaultKeyID: "app-1"})
	for range 2 {
		_, err := client.GenerateKey(context.Background(), "", nil)
		fmt.Println(errors.Is(err, kms.ErrUnreachable))
	}
	fmt.Println(s.Count("/v1/key/generate/app-1"), "requests")
	// Output:
	// true
	// false
	// 2 requests
}

// ExampleServer_Allow lets another identity use one key.
func ExampleServer_Allow() {
	s := kestest.NewServer()
	defer s.Close()
	s.CreateKey("app-1", "app-2")
	app := kes.NewAPIKey()
	s.Allow(app.Identity(), "/v1/key/generate/app-1")

	b := s.BackendOf(app, nil)
	if _, err := b.GenerateKey(context.Background(), "app-1", nil); err != nil {
		log.Fatal(err)
	}
	_, err := b.GenerateKey(context.Background(), "app-2", nil)
	fmt.Println(errors.Is(err, kms.ErrNotPermitted))
	// Output: true
}

// TestInject: faults come in order, by path, and end.
func TestInject(t *testing.T) {
	s := kestest.NewServer()
	defer s.Close()
	s.CreateKey("key-1")
	b := s.Backend(nil)
	s.Inject("/v1/key/generate/", 1, kestest.Status(403, "first"))
	s.Inject("/v1/key/", 1, kestest.Status(404, "second"))
	s.Inject("/v1/key/describe/", -1, kestest.Status(403, "always"))
	for i, want := range []error{kms.ErrNotPermitted, kms.ErrKeyNotFound, nil, nil} {
		if _, err := b.GenerateKey(t.Context(), "key-1", nil); !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", i, err, want)
		}
	}
	for range 3 {
		if _, err := b.DescribeKey(t.Context(), "key-1"); !errors.Is(err, kms.ErrNotPermitted) {
			t.Error(err)
		}
	}
	s.Heal()
	if _, err := b.DescribeKey(t.Context(), "key-1"); err != nil {
		t.Error(err)
	}
	if got := s.Count("/v1/key/"); got != 8 {
		t.Errorf("%d requests", got)
	}
}

func TestCloseEndsHungRequests(t *testing.T) {
	s := kestest.NewServer()
	s.Inject("", -1, kestest.Hang)
	cert, err := s.Admin.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	// Not a Backend: it would try again, and by then another server may have
	// the port.
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.CAs(), Certificates: []tls.Certificate{*cert}}}}
	done := make(chan error)
	go func() {
		r, err := client.Get(s.URL + "/v1/status")
		if err == nil {
			_, err = io.ReadAll(r.Body)
			r.Body.Close()
		}
		done <- err
	}()
	for s.Count("") == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	if err := <-done; err == nil {
		t.Error("a request that hung was answered")
	}
}
