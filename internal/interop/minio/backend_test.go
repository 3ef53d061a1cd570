//go:build unix

package minio_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"
	"github.com/minio/minio-go/v7/pkg/signer"
	"github.com/minio/minio-go/v7/pkg/sse"
	"github.com/minio/minio-go/v7/pkg/tags"

	"github.com/objseal/objseal/internal/interop/minio/workload"
	"github.com/objseal/objseal/internal/interop/minioproc"
	"github.com/objseal/objseal/kms/blob"
)

// adminAPI calls the admin API, as far as these tests need it.
type adminAPI struct{ server *minioproc.Server }

// call sends a request, with its body sealed under the caller's secret key if
// sealed, and returns the answer, opened if it came sealed.
func (a adminAPI) call(t *testing.T, method, path string, query url.Values, body []byte, sealed bool) []byte {
	t.Helper()
	if sealed {
		body = sealPassword(t, minioproc.Password, body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, a.server.URL()+"/minio/admin/v3/"+path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	answer, _ := do(t, a.server, signer.SignV4(*req, minioproc.User, minioproc.Password, "", minioproc.Region), http.StatusOK)
	if blob.Detect(answer) != blob.Password {
		return answer
	}
	if answer, err = blob.OpenPassword(minioproc.Password, answer); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return answer
}

// sealPassword seals a body of one chunk (SSE spec section 14.2).
func sealPassword(t *testing.T, password string, plaintext []byte) []byte {
	t.Helper()
	head := make([]byte, 32+1+8)
	rand.Read(head)
	head[32] = 2 // PBKDF2, AES-256-GCM
	key, err := pbkdf2.Key(sha256.New, password, head[:32], 8192, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(slices.Clone(head[33:]), n) }
	last := append([]byte{0x80}, gcm.Seal(nil, nonce(0), nil, nil)...)
	return gcm.Seal(head, nonce(1), plaintext, last)
}

func decoded(t *testing.T, text []byte) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
	return v
}

// A backend is what the admin API shows of a server.
type backend struct {
	secrets  map[string]string // of users and service accounts
	users    map[string]any    // status, policies, groups
	policies map[string]any
	group    map[string]any
	account  map[string]any
	settings map[string]map[string]string // by subsystem, with its target
	buckets  map[string]map[string]string
}

const accountKey = "TESTSERVICEACCOUNT01"

// fillBackend makes users, policies and so on, and returns what the server says
// of them.
func fillBackend(t *testing.T, server *minioproc.Server, client *minio.Core) *backend {
	t.Helper()
	a := adminAPI{server}
	b := &backend{secrets: make(map[string]string), settings: make(map[string]map[string]string)}
	name := func(key, value string) url.Values { return url.Values{key: {value}} }
	b.secrets["alice"], b.secrets["bob+é"], b.secrets["carol"] = "secret-of-alice", "secret-of-bob", "secret-of-carol"
	for user, secret := range b.secrets {
		a.call(t, "PUT", "add-user", name("accessKey", user), fmt.Appendf(nil, `{"secretKey":%q,"status":"enabled"}`, secret), true)
	}
	a.call(t, "PUT", "set-user-status", url.Values{"accessKey": {"carol"}, "status": {"disabled"}}, nil, false)
	big := bigPolicy()
	a.call(t, "PUT", "add-canned-policy", name("name", "big"), big, false)
	a.call(t, "PUT", "add-canned-policy", name("name", "small"), []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::small/*"]}]}`), false)
	a.call(t, "PUT", "update-group-members", nil, []byte(`{"group":"team","members":["alice","carol"],"isRemove":false}`), false)
	a.call(t, "PUT", "set-user-or-group-policy", url.Values{"policyName": {"big"}, "userOrGroup": {"alice"}, "isGroup": {"false"}}, nil, false)
	a.call(t, "PUT", "set-user-or-group-policy", url.Values{"policyName": {"small"}, "userOrGroup": {"team"}, "isGroup": {"true"}}, nil, false)
	b.secrets[accountKey] = "secret-of-the-service-account"
	a.call(t, "PUT", "add-service-account", nil, fmt.Appendf(nil, `{"targetUser":"alice","accessKey":%q,"secretKey":%q,"name":"for-tests"}`, accountKey, b.secrets[accountKey]), true)
	a.call(t, "PUT", "set-config-kv", nil, []byte("api requests_deadline=33s stale_uploads_expiry=48h"), true)
	a.call(t, "PUT", "set-config-kv", nil, []byte(`heal bitrotscan=off max_sleep=250ms`), true)
	b.buckets = fillBuckets(t, client)

	b.users = decoded(t, a.call(t, "GET", "list-users", nil, nil, false))
	b.policies = decoded(t, a.call(t, "GET", "list-canned-policies", nil, nil, false))
	b.group = decoded(t, a.call(t, "GET", "group", name("group", "team"), nil, false))
	b.account = decoded(t, a.call(t, "GET", "info-service-account", name("accessKey", accountKey), nil, false))
	for line := range strings.Lines(string(a.call(t, "GET", "config", nil, nil, false))) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue // a subsystem that is off, or what the environment says
		}
		subsystem, values := parseSettings(line)
		b.settings[subsystem] = values
	}
	return b
}

// bigPolicy is a document that takes more than one chunk when sealed.
func bigPolicy() []byte {
	var statements []string
	for n := range 110 {
		statements = append(statements, fmt.Sprintf(`{"Sid":"Team%d","Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::team-%d/*","arn:aws:s3:::other-%d/data/*"]}`, n, n, n))
	}
	return []byte(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)
}

// fillBuckets sets something of every sort and returns it as the server shows it.
func fillBuckets(t *testing.T, client *minio.Core) map[string]map[string]string {
	t.Helper()
	ctx, bucket := t.Context(), workload.Objects
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:GetObject"],"Resource":["arn:aws:s3:::workload-objects/public/*"]}]}`
	labels, err := tags.NewTags(map[string]string{"team": "a", "cost": "17"}, false)
	if err != nil {
		t.Fatal(err)
	}
	rules := lifecycle.NewConfiguration()
	rules.Rules = []lifecycle.Rule{{ID: "old", Status: "Enabled", RuleFilter: lifecycle.Filter{Prefix: "tmp/"}, Expiration: lifecycle.Expiration{Days: 3000}}}
	for what, err := range map[string]error{
		"policy":     client.SetBucketPolicy(ctx, bucket, policy),
		"tags":       client.SetBucketTagging(ctx, bucket, labels),
		"lifecycle":  client.SetBucketLifecycle(ctx, bucket, rules),
		"encryption": client.SetBucketEncryption(ctx, workload.Versions, sse.NewConfigurationSSES3()),
	} {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	shown, err := client.Client.GetBucketPolicy(ctx, bucket)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]map[string]string{
		bucket:            {"policy": shown, "tagging": "<Key>team</Key><Value>a</Value>", "lifecycle": "<Days>3000</Days>"},
		workload.Versions: {"versioning": "<Status>Enabled</Status>", "encryption": "<SSEAlgorithm>AES256</SSEAlgorithm>"},
	}
}

// parseSettings reads a line of the text form of the configuration:
// subsystem key=value key="value with spaces".
func parseSettings(line string) (subsystem string, values map[string]string) {
	subsystem, rest, _ := strings.Cut(line, " ")
	values = make(map[string]string)
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		var key, value string
		key, rest, _ = strings.Cut(rest, "=")
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			value, rest, _ = strings.Cut(quoted, `"`)
		} else {
			value, rest, _ = strings.Cut(rest, " ")
		}
		values[key] = value
	}
	return subsystem, values
}

// A configLine is one line of drive config.
type configLine struct {
	Type, Name, Path, Stored, Status, Kind, Error string
	KMSKeyID                                      string `json:"kms_key_id"`
	Value                                         json.RawMessage
}

// compare demands that what the command finds on the drives is what the admin API showed.
func (b *backend) compare(t *testing.T, run command, drives []string) {
	t.Helper()
	items := make(map[string]configLine)
	decoder := json.NewDecoder(bytes.NewReader(run.run(t, append([]string{"drive", "config", "--json", "--reveal"}, drives...)...)))
	for {
		var e configLine
		if err := decoder.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if e.Status != "ok" {
			t.Errorf("%s %q: %s: %s", e.Type, e.Name, e.Kind, e.Error)
		}
		if sealed := e.Type != "bucket" && e.Type != "other"; sealed && (e.Stored != "sealed" || e.KMSKeyID != kmsKey) {
			t.Errorf("%s %q is said to be %s under key %q", e.Type, e.Name, e.Stored, e.KMSKeyID)
		}
		items[e.Type+" "+e.Name] = e
	}
	value := func(typ, name string) map[string]any {
		t.Helper()
		e, ok := items[typ+" "+name]
		if !ok {
			t.Errorf("there is no %s %q", typ, name)
			return nil
		}
		return decoded(t, e.Value)
	}
	b.compareUsers(t, value)
	for name, document := range b.policies {
		if slices.Contains([]string{"consoleAdmin", "diagnostics", "readonly", "readwrite", "writeonly"}, name) {
			continue // built in
		}
		if got := sorted(value("policy", name)["Policy"]); !reflect.DeepEqual(got, sorted(document)) {
			t.Errorf("policy %q: got %.1000v, want %.1000v", name, got, document)
		}
	}
	if got := value("group", "team"); got["status"] != b.group["status"] || !sameSet(got["members"], b.group["members"]) {
		t.Errorf("group: got %v, want %v", got, b.group)
	}
	if got := value("policy-mapping", "groups/team")["policy"]; got != b.group["policy"] {
		t.Errorf("policy of the group: got %v, want %v", got, b.group["policy"])
	}
	b.compareSettings(t, value("config", ""))
	for bucket, settings := range b.buckets {
		got, _ := value("bucket", bucket)["settings"].(map[string]any)
		for name, want := range settings {
			text, _ := got[name].(string)
			if same := strings.Contains(text, want); !same && !(name == "policy" && reflect.DeepEqual(decoded(t, []byte(text)), decoded(t, []byte(want)))) {
				t.Errorf("bucket %s, %s: got %q, want %q", bucket, name, text, want)
			}
		}
	}
	t.Logf("%d items, among them %d subsystems of settings", len(items), len(b.settings))
}

func (b *backend) compareUsers(t *testing.T, value func(typ, name string) map[string]any) {
	t.Helper()
	status := map[any]string{"enabled": "on", "disabled": "off", "on": "on", "off": "off"}
	for name, shown := range b.users {
		want := shown.(map[string]any)
		got, _ := value("user", name)["credentials"].(map[string]any)
		if got["accessKey"] != name || got["secretKey"] != b.secrets[name] || got["status"] != status[want["status"]] {
			t.Errorf("user %q is not the one the server showed", name)
		}
		if policy, ok := want["policyName"]; ok && value("policy-mapping", "users/"+name)["policy"] != policy {
			t.Errorf("user %q: want policy %v", name, policy)
		}
	}
	if len(b.users) != 3 {
		t.Errorf("the server shows %d users", len(b.users))
	}
	got, _ := value("service-account", accountKey)["credentials"].(map[string]any)
	if got["secretKey"] != b.secrets[accountKey] || got["parentUser"] != b.account["parentUser"] || got["name"] != b.account["name"] || got["status"] != status[b.account["accountStatus"]] {
		t.Error("the service account is not the one the server showed")
	}
}

func (b *backend) compareSettings(t *testing.T, config map[string]any) {
	t.Helper()
	got := make(map[string]map[string]string)
	for subsystem, targets := range config {
		for target, pairs := range targets.(map[string]any) {
			name := subsystem
			if target != "_" {
				name += ":" + target
			}
			got[name] = make(map[string]string)
			list, _ := pairs.([]any)
			for _, p := range list {
				pair := p.(map[string]any)
				got[name][pair["key"].(string)] = pair["value"].(string)
			}
		}
	}
	compared := 0
	for subsystem, values := range b.settings {
		for key, want := range values {
			if got[subsystem][key] != want {
				t.Errorf("setting %s %s: got %q, want %q", subsystem, key, got[subsystem][key], want)
			}
			compared++
		}
	}
	if compared < 20 {
		t.Errorf("the server shows %d settings only: %q", compared, slices.Collect(maps.Keys(b.settings)))
	}
}

func sameSet(a, b any) bool { return a != nil && reflect.DeepEqual(sorted(a), sorted(b)) }

// sorted returns a decoded JSON value with its lists of strings in order: the server
// writes actions, resources and members in any.
func sorted(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any)
		for name, field := range v {
			m[name] = sorted(field)
		}
		return m
	case []any:
		list := make([]any, 0, len(v))
		for _, e := range v {
			list = append(list, sorted(e))
		}
		slices.SortFunc(list, func(a, b any) int {
			x, _ := a.(string)
			y, _ := b.(string)
			return strings.Compare(x, y)
		})
		return list
	}
	return v
}
