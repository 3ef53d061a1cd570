// Package deps holds the rules of what may import what, as tests:
//
//	cmd → drive → sse → {kms, stream} → internal
//
// Imports run downwards only, kms and stream do not know each other, a library
// package needs few modules, and nothing the root module requires is under a
// licence that would bind its users.
package deps_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/objseal/objseal"

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	Module                             *struct{ Path, Dir string }
}

// layer returns how high a package of the module stands, and the name of its
// layer. Packages of other modules have no layer.
func layer(path string) (height int, name string, ok bool) {
	rest, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return 0, "", false
	}
	name, _, _ = strings.Cut(rest, "/")
	if strings.HasPrefix(rest, "internal/interop/") {
		name = "interop" // tests of everything below, from outside
	}
	heights := map[string]int{"internal": 0, "kms": 1, "stream": 1, "sse": 2, "drive": 3, "cmd": 4, "examples": 4, "interop": 5}
	height, ok = heights[name]
	if !ok {
		return -1, name, true
	}
	return height, name, true
}

// violations returns every import of p, also by its tests, that runs upwards
// or across.
func violations(p pkg) (found []string) {
	height, name, ok := layer(p.ImportPath)
	if !ok {
		return nil
	}
	if height < 0 {
		return []string{p.ImportPath + " is in no layer"}
	}
	for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
		if h, n, ok := layer(path); ok && n != name && h >= height {
			found = append(found, p.ImportPath+" imports "+path)
		}
	}
	return found
}

func TestViolations(t *testing.T) {
	for _, test := range []struct {
		from, to string
		allowed  bool
	}{
		{"cmd/objseal", "drive", true},
		{"cmd/objseal", "drive/recovery", true},
		{"drive/recovery", "drive", true},
		{"drive/recovery", "sse", true},
		{"sse", "kms", true},
		{"sse", "stream", true},
		{"kms/kes", "kms", true},
		{"kms/kmsenv", "kms/kes", true},
		{"stream", "internal/aesgcm", true},
		{"internal/aesgcm", "internal/cpu", true},
		{"internal/interop/kessuite", "kms/kmstest", true},
		{"kms", "stream", false},
		{"kms/kes", "stream", false},
		{"stream", "kms/static", false},
		{"stream", "sse", false},
		{"kms/kes", "sse", false},
		{"internal/secret", "kms", false},
		{"sse", "drive", false},
		{"sse", "drive/recovery", false},
		{"drive", "cmd/objseal", false},
		{"sse", "internal/interop/kesproc", false},
		{"util", "kms", false},
	} {
		for _, p := range []pkg{
			{Imports: []string{module + "/" + test.to}},
			{TestImports: []string{module + "/" + test.to}},
			{XTestImports: []string{module + "/" + test.to}},
		} {
			p.ImportPath = module + "/" + test.from
			if found := violations(p); (len(found) == 0) != test.allowed {
				t.Errorf("%s → %s: found %q, allowed is %v", test.from, test.to, found, test.allowed)
			}
		}
	}
}

func TestImportsRunDownwards(t *testing.T) {
	packages := list(t, "./...")
	for _, p := range packages {
		for _, v := range violations(p) {
			t.Error(v)
		}
	}
	t.Logf("%d packages", len(packages))
}

func TestStreamHasNoNetwork(t *testing.T) {
	for _, p := range list(t, "-deps", "./stream") {
		if p.ImportPath == "net" || p.ImportPath == "net/http" {
			t.Errorf("stream depends on %s", p.ImportPath)
		}
	}
}

// TestLibraryModules holds what a user of the library gets into their build.
func TestLibraryModules(t *testing.T) {
	const cpuid, compress, crypto, sys = "github.com/klauspost/cpuid/v2", "github.com/klauspost/compress", "golang.org/x/crypto", "golang.org/x/sys"
	drive := []string{cpuid, crypto, sys, compress, "github.com/klauspost/reedsolomon", "github.com/minio/highwayhash", "github.com/tinylib/msgp", "github.com/philhofer/fwd", "github.com/cespare/xxhash/v2"}
	for pattern, allowed := range map[string][]string{
		"./drive": drive, "./drive/config": drive, "./drive/recovery": drive, // not ./drive/recovery/s3, which has a client
		"./stream/...": {cpuid, crypto, sys},
		"./kms/...":    {cpuid, crypto, sys, "github.com/go-pkgz/expirable-cache/v3"}, // kms/cache has it
		"./sse/...":    {cpuid, crypto, sys, compress},
	} {
		for _, p := range list(t, "-deps", pattern) {
			if p.Module != nil && p.Module.Path != module && !slices.Contains(allowed, p.Module.Path) {
				t.Errorf("%s depends on %s", pattern, p.ImportPath)
			}
		}
	}
}

// permissive are the modules of the MinIO project that are under Apache-2.0;
// its servers and most of what they are made of are under the AGPL.
var permissive = []string{"github.com/minio/sio", "github.com/minio/md5-simd", "github.com/minio/minio-go/v7", "github.com/minio/highwayhash", "github.com/minio/crc64nvme"}

func forbidden(path string) bool {
	return strings.HasPrefix(path, "github.com/minio/") && !slices.ContainsFunc(permissive, func(m string) bool {
		return path == m || strings.HasPrefix(path, m+"/")
	})
}

func TestRequirementsAreNotAGPL(t *testing.T) {
	var mod struct {
		Require []struct{ Path string }
		Tool    []struct{ Path string }
	}
	if err := json.Unmarshal(command(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range append(mod.Require, mod.Tool...) {
		if forbidden(r.Path) {
			t.Errorf("the root module requires %s", r.Path)
		}
	}
	checked := make(map[string]bool)
	for _, p := range list(t, "-deps", "-test", "./...") {
		if p.Module == nil || checked[p.Module.Path] {
			continue
		}
		checked[p.Module.Path] = true
		if err := checkLicence(p.Module.Dir); err != nil {
			t.Errorf("%s: %v", p.Module.Path, err)
		}
	}
	t.Logf("read the licences of %d modules", len(checked))
}

// checkLicence wants at least one licence file in dir, and none of the GNU
// family, which all call themselves by name.
func checkLicence(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "LICEN[CS]E*"))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.New("has no licence file")
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, gnu := range []string{"GNU AFFERO GENERAL PUBLIC LICENSE", "GNU GENERAL PUBLIC LICENSE", "GNU LESSER GENERAL PUBLIC LICENSE"} {
			if bytes.Contains(bytes.ToUpper(text), []byte(gnu)) {
				return fmt.Errorf("%s names the %s", filepath.Base(name), gnu)
			}
		}
	}
	return nil
}

func TestCheckLicence(t *testing.T) {
	for text, allowed := range map[string]bool{
		"Apache License\nVersion 2.0":                                 true,
		"GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3":                false,
		"                    GNU General Public License\n  Version 2": false,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkLicence(dir); (err == nil) != allowed {
			t.Errorf("%q: %v", text, err)
		}
	}
	if checkLicence(t.TempDir()) == nil {
		t.Error("a directory without a licence passes")
	}
}

// TestNobodyImportsAGPL reads every Go file of the repository, nested modules
// included: those run AGPL servers as tools and never link them.
func TestNobodyImportsAGPL(t *testing.T) {
	root := rootDir(t)
	files := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if name := e.Name(); path != root && strings.HasPrefix(name, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			if name, err := strconv.Unquote(i.Path.Value); err == nil && forbidden(name) {
				t.Errorf("%s imports %s", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("read %d files", files)
}

func TestForbidden(t *testing.T) {
	for path, want := range map[string]bool{
		"github.com/minio/sio":           false,
		"github.com/minio/md5-simd":      false,
		"github.com/minio/minio-go/v7":   false,
		"github.com/minio/highwayhash":   false,
		"github.com/klauspost/cpuid/v2":  false,
		"github.com/minio/minio":         true,
		"github.com/minio/kes/cmd/kes":   true,
		"github.com/minio/kms-go/kes":    true,
		"github.com/minio/kes-go":        true,
		"github.com/minio/pkg/v3/env":    true,
		"github.com/minio/madmin-go/v4":  true,
		"github.com/minio/sio-of-others": true,
	} {
		if forbidden(path) != want {
			t.Errorf("forbidden(%q) = %v", path, !want)
		}
	}
}

// list runs go list -json in the root module.
func list(t *testing.T, args ...string) (packages []pkg) {
	t.Helper()
	out := json.NewDecoder(bytes.NewReader(command(t, append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports,Module"}, args...)...)))
	for {
		var p pkg
		err := out.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// command runs the go command in the root module.
func command(t *testing.T, args ...string) []byte {
	t.Helper()
	run := exec.CommandContext(t.Context(), "go", args...)
	run.Dir = rootDir(t)
	var stderr strings.Builder
	run.Stderr = &stderr
	out, err := run.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// rootDir returns the directory of the root module. Looking at go.mod also
// tells the test cache that the result depends on it: what child processes
// read, it does not see.
func rootDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}
