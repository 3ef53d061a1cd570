package kes_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
)

func TestParseEndpoints(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "",
		" , ,, ":                               "",
		"https://a:7373":                       "https://a:7373",
		" https://a:7373 ,, https://b:7373 ":   "https://a:7373 https://b:7373",
		"https://kes-{1...4}:7373":             "https://kes-1:7373 https://kes-2:7373 https://kes-3:7373 https://kes-4:7373",
		"https://k{9...11}":                    "https://k9 https://k10 https://k11",
		"https://k{01...03}":                   "https://k01 https://k02 https://k03",
		"https://k{009...11}":                  "https://k09 https://k10 https://k11",
		"https://k{9...010}":                   "https://k009 https://k010",
		"https://k{0...1}":                     "https://k0 https://k1",
		"https://k{3...3}":                     "https://k3",
		"https://{a...c}":                      "https://a https://b https://c",
		"https://{Y...Z}":                      "https://Y https://Z",
		"https://{1...2}-{a...b}":              "https://1-a https://2-a https://1-b https://2-b",
		"https://{1...2}{1...2}:{1...2}":       "https://11:1 https://21:1 https://12:1 https://22:1 https://11:2 https://21:2 https://12:2 https://22:2",
		"https://x{1...2},https://y,z{1...2}a": "https://x1 https://x2 https://y z1a z2a",
		"host:port":                            "host:port", // New refuses it
	} {
		got, err := kes.ParseEndpoints(text)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"{4...1}", "{c...a}", "{1..3}", "{1....3}", "{1...}", "{...3}", "{}", "{", "}", "{1...3", "1...3}", "{{1...3}}", "{1...3}}", "{a...3}", "{1...c}", "{aa...bb}", "{A...c}", "{a...C}",
		"{-1...3}", "{1...3},{", "{1,3}", "{1...2000}", "{1...99999999999999999999}", "{1...999}{1...999}", "{1...1000},{1...1000}", "{1...9}{1...9}{1...9}{1...9}{1...9}{1...9}{1...9}{1...9}",
	} {
		got, err := kes.ParseEndpoints("https://" + text)
		var endpoint *kes.EndpointError
		if got != nil || !errors.As(err, &endpoint) {
			t.Errorf("%q: %d endpoints, %v", text, len(got), err)
		}
	}
}

func TestNewEndpointErrors(t *testing.T) {
	for _, text := range []string{
		"", "kes", "kes:7373", "127.0.0.1:7373", "http://kes:7373", "https://", "https://:7373", "https://kes:port", "https://kes/path", "https://kes?q", "https://kes#f", "https://user:password@kes", "ftp://kes", "https://[::1", "https://kes\n", "https://a b", "\x00", "https://kes:v1:password",
	} {
		_, err := kes.New([]string{"https://kes:7373", text}, kes.NewAPIKey(), nil)
		var endpoint *kes.EndpointError
		if !errors.As(err, &endpoint) || endpoint.Text != text || strings.Contains(err.Error(), "password") || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for what, test := range map[string]struct {
		endpoints []string
		creds     kes.Credentials
	}{
		"no endpoint":    {nil, kes.NewAPIKey()},
		"no credentials": {[]string{"https://kes:7373"}, nil},
	} {
		if _, err := kes.New(test.endpoints, test.creds, nil); !errors.Is(err, kms.ErrNotConfigured) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestEndpointOrder: clients of one configuration spread over its servers,
// unless the first is on this machine.
func TestEndpointOrder(t *testing.T) {
	firsts := func(urls ...string) map[string]int {
		n := make(map[string]int)
		for range 200 {
			b, err := kes.New(urls, kes.NewAPIKey(), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := b.Endpoints()
			n[got[0]]++
			i := slices.Index(urls, got[0])
			if !slices.Equal(got, slices.Concat(urls[i:], urls[:i])) {
				t.Fatalf("the order of %q became %q", urls, got)
			}
		}
		return n
	}
	for _, first := range []string{"https://127.0.0.1:7373", "https://localhost:7373", "https://[::1]:7373", "https://127.9.9.9"} {
		if n := firsts(first, "https://a:7373", "https://b:7373"); len(n) != 1 || n[first] == 0 {
			t.Errorf("%s is not always preferred: %v", first, n)
		}
	}
	if n := firsts("https://a:7373", "https://127.0.0.1:7373", "https://b:7373"); len(n) != 3 {
		t.Errorf("not spread: %v", n)
	}
}

// FuzzParseEndpoints: whatever is given, what comes out is bounded, and an
// expanded list stays as it is.
func FuzzParseEndpoints(f *testing.F) {
	for _, text := range []string{"https://a:7373,https://b", "https://k{1...4}", "{01...03}{a...c}", "{1...999999999}", "{4...1}", "}{", "{1...2", ",,, "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := kes.ParseEndpoints(text)
		if err != nil {
			if !errors.As(err, new(*kes.EndpointError)) || list != nil {
				t.Errorf("%q, %v", list, err)
			}
			return
		}
		if len(list) > 1024 {
			t.Errorf("%d endpoints", len(list))
		}
		again, err := kes.ParseEndpoints(strings.Join(list, ","))
		if err != nil || !slices.Equal(again, list) {
			t.Errorf("%q became %q, %v", list, again, err)
		}
		for _, e := range list {
			kes.New([]string{e}, kes.NewAPIKey(), nil)
		}
	})
}

func ExampleParseEndpoints() {
	list, err := kes.ParseEndpoints("https://kes-{1...3}.example.com:7373")
	fmt.Println(strings.Join(list, "\n"), err)
	// Output:
	// https://kes-1.example.com:7373
	// https://kes-2.example.com:7373
	// https://kes-3.example.com:7373 <nil>
}
