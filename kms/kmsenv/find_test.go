package kmsenv_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmsenv"
)

// TestFind: the files are named, and none of them is read.
func TestFind(t *testing.T) {
	for what, test := range map[string]struct {
		env  env
		want []kmsenv.File
	}{
		"API key": {env{end: "https://kes:7373", name: "app", api: apiKey}, nil},
		"certificate": {env{end: "https://kes:7373", name: "app", cert: "none.crt", key: "none.key", ca: "none.pem"},
			[]kmsenv.File{{Variable: cert, Path: "none.crt"}, {Variable: key, Path: "none.key", Secret: true}, {Variable: ca, Path: "none.pem", Optional: true}}},
		"kes command": {env{"KES_CLIENT_KEY": "none.key", "KES_CLIENT_CERT": "none.crt"},
			[]kmsenv.File{{Variable: "KES_CLIENT_CERT", Path: "none.crt"}, {Variable: "KES_CLIENT_KEY", Path: "none.key", Secret: true}}},
		"key ring": {env{}, []kmsenv.File{{Path: "none.ring", Secret: true}}},
	} {
		config, err := kmsenv.Find(test.env.lookup, &kmsenv.Options{KESCommand: true, Ring: "none.ring"})
		if err != nil || !slices.Equal(config.Files, test.want) || config.Source == "" {
			t.Errorf("%s: %+v, %v", what, config, err)
		}
	}
	for what, test := range map[string]struct {
		env  env
		want error
	}{
		"nothing":  {env{}, kms.ErrNotConfigured},
		"conflict": {env{end: "https://kes:7373", sec: "my-key:" + secretKey}, kmsenv.ErrConflict},
	} {
		if _, err := kmsenv.Find(test.env.lookup, nil); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", what, err, test.want)
		}
	}
}

func TestSet(t *testing.T) {
	e := env{end: "", "KES_SERVER": "x", "HOME": "/"}
	if got := kmsenv.Set(e.lookup); !slices.Equal(got, []string{end, "KES_SERVER"}) {
		t.Errorf("%q", got)
	}
}
