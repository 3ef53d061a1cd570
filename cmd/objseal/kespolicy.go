package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/objseal/objseal/kms/kes/keserver"
)

// policyDocument is a policy file: the part of a KES server's configuration
// that has to do with access, with the names it has there.
type policyDocument struct {
	Admin struct {
		Identity string `json:"identity" yaml:"identity"`
	} `json:"admin" yaml:"admin"`
	Policy map[string]policyOf `json:"policy" yaml:"policy"`
}

type policyOf struct {
	Allow      []string `json:"allow" yaml:"allow"`
	Deny       []string `json:"deny" yaml:"deny"`
	Identities []string `json:"identities" yaml:"identities"`
}

// maxPolicy is the longest policy file that is read.
const maxPolicy = 1 << 20

// firstPolicy is a policy file by which a client may use keys and make them,
// and do what objseal kms needs, but not import or delete any.
func firstPolicy(identity string) []byte {
	return fmt.Appendf(nil, `# Who may do what. This file is read again when it changes.
# A rule is a path; one that ends in * is all paths that begin like it.
# deny is stronger than allow. objseal key api makes another identity.
policy:
  client:
    allow:
    - /v1/status
    - /v1/key/create/*
    - /v1/key/describe/*
    - /v1/key/list/*
    - /v1/key/generate/*
    - /v1/key/encrypt/*
    - /v1/key/decrypt/*
    identities:
    - %s
`, identity)
}

// policyError is an error of a policy file.
func policyError(path string, err error) error {
	return &serveError{fmt.Errorf("failed to read the policy file %s: %w", path, err), "objseal kes serve --help shows what one looks like"}
}

// readPolicy reads a policy file.
func readPolicy(path string) (keserver.Access, error) {
	f, err := os.Open(path)
	if err != nil {
		return keserver.Access{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err != nil {
		return keserver.Access{}, err
	}
	access, err := parsePolicy(text, filepath.Ext(path) == ".json")
	if err != nil {
		return keserver.Access{}, policyError(path, err)
	}
	return access, nil
}

// parsePolicy reads a policy document. What has no meaning is refused: a rule
// that is not what somebody believes it to be is worse than none.
func parsePolicy(text []byte, isJSON bool) (keserver.Access, error) {
	if len(text) > maxPolicy {
		return keserver.Access{}, fmt.Errorf("it has more than %d bytes", maxPolicy)
	}
	var doc policyDocument
	if err := decodePolicy(text, isJSON, &doc); err != nil {
		return keserver.Access{}, err
	}
	access := keserver.Access{Admin: doc.Admin.Identity, Policies: make(map[string]keserver.Policy)}
	if access.Admin == "disabled" { // as a KES configuration often says it
		access.Admin = ""
	}
	if access.Admin != "" {
		if err := checkIdentity(access.Admin); err != nil {
			return keserver.Access{}, fmt.Errorf("admin: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Policy)) {
		p := doc.Policy[name]
		for _, rule := range slices.Concat(p.Allow, p.Deny) {
			if i := strings.IndexByte(rule, '*'); i >= 0 && i != len(rule)-1 || rule != "*" && !strings.HasPrefix(rule, "/") {
				return keserver.Access{}, fmt.Errorf("policy %q: the rule %q is no path with at most one *, at its end", name, rule)
			}
		}
		for _, id := range p.Identities {
			if err := checkIdentity(id); err != nil {
				return keserver.Access{}, fmt.Errorf("policy %q: %w", name, err)
			}
		}
		access.Policies[name] = keserver.Policy{Allow: p.Allow, Deny: p.Deny, Identities: p.Identities}
	}
	return access, nil
}

var errAfterPolicy = errors.New("there is something after the end of the document")

func decodePolicy(text []byte, isJSON bool, doc *policyDocument) error {
	var decode func(any) error
	if isJSON {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		decode = d.Decode
	} else {
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		decode = func(v any) error { return oneLine(d.Decode(v)) }
	}
	if err := decode(doc); err != nil && (isJSON || !errors.Is(err, io.EOF)) { // an empty YAML file allows nobody anything
		return err
	}
	if err := decode(new(any)); !errors.Is(err, io.EOF) {
		return errAfterPolicy
	}
	return nil
}

// oneLine puts a YAML decoder's errors in one sentence, without the names of Go
// types.
func oneLine(err error) error {
	var several *yaml.TypeError
	if !errors.As(err, &several) {
		return err
	}
	var list []string
	for _, e := range several.Errors {
		e, _, _ = strings.Cut(e, " in type ")
		e, _, _ = strings.Cut(e, " into ")
		list = append(list, e)
	}
	return fmt.Errorf("yaml: %s", strings.Join(list, "; "))
}

// checkIdentity does not print what it refuses: it may be an API key that was
// put in the wrong place.
func checkIdentity(id string) error {
	if b, err := hex.DecodeString(id); err != nil || len(b) != 32 || strings.ToLower(id) != id {
		return errors.New("an identity is not 64 hexadecimal digits in lower case; objseal key api and kes identity print them")
	}
	return nil
}
