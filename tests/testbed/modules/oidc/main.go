// oidc is an OpenID provider on loopback: people with groups, one public client, and keys that a test can change.
//
// usage: oidc PORT USERS.json, where USERS.json is {"name": {"Username", "Password", "Email", "Groups": [...]}}.
// POST /control/rotate signs with a new key from then on and publishes no other; with ?keep=1 the old ones too.
// POST /control/lifetime?seconds=N sets how long ID tokens live.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const clientID = "kubently"

var lifetime atomic.Int64

// signing is one key; its two views are what the library asks for.
type signing struct {
	id  string
	key *rsa.PrivateKey
}

func newSigning() signing {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	return signing{uuid.NewString(), key}
}

func (s signing) ID() string                                  { return s.id }
func (s signing) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (s signing) Key() any                                    { return s.key }

type published struct{ signing }

func (p published) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (p published) Use() string                        { return "sig" }
func (p published) Key() any                           { return &p.key.PublicKey }

// client is the one that command lines use: native, without a secret, with the device flow.
type client struct{ *storage.Client }

func (client) RedirectURIs() []string               { return []string{"http://127.0.0.1/callback"} }
func (client) IsScopeAllowed(scope string) bool     { return scope == "groups" }
func (client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (client) IDTokenLifetime() time.Duration       { return time.Duration(lifetime.Load()) * time.Second }
func (client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeDeviceCode}
}

// provider is the example's storage with groups, our client, and keys that change.
type provider struct {
	*storage.Storage
	groups map[string][]string
	lock   sync.Mutex
	keys   []signing
}

func (p *provider) rotate(keep bool) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if !keep {
		p.keys = nil
	}
	p.keys = append([]signing{newSigning()}, p.keys...)
}

func (p *provider) SigningKey(context.Context) (op.SigningKey, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.keys[0], nil
}

func (p *provider) KeySet(context.Context) ([]op.Key, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	var set []op.Key
	for _, key := range p.keys {
		set = append(set, published{key})
	}
	return set, nil
}

func (p *provider) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	found, err := p.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	if plain, ok := found.(*storage.Client); ok {
		return client{plain}, nil
	}
	return found, nil
}

func (p *provider) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, token op.IDTokenRequest, scopes []string) error {
	if err := p.Storage.SetUserinfoFromRequest(ctx, info, token, scopes); err != nil {
		return err
	}
	if slices.Contains(scopes, "groups") {
		info.AppendClaims("groups", p.groups[token.GetSubject()])
	}
	return nil
}

func readUsers(path string) (storage.UserStore, map[string][]string) {
	users, err := storage.StoreFromFile(path)
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	var people map[string]struct{ Groups []string }
	if err := json.Unmarshal(text, &people); err != nil {
		log.Fatal(err)
	}
	groups := map[string][]string{}
	for name, person := range people {
		groups[name] = person.Groups
	}
	return users, groups
}

func main() {
	port, path := os.Args[1], os.Args[2]
	lifetime.Store(3600)
	storage.RegisterClients(storage.NativeClient(clientID))
	users, groups := readUsers(path)
	store := &provider{Storage: storage.NewStorage(users), groups: groups, keys: []signing{newSigning()}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /control/rotate", func(_ http.ResponseWriter, r *http.Request) {
		store.rotate(r.FormValue("keep") != "")
	})
	mux.HandleFunc("POST /control/lifetime", func(w http.ResponseWriter, r *http.Request) {
		seconds, err := strconv.ParseInt(r.FormValue("seconds"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		lifetime.Store(seconds)
	})
	address := "127.0.0.1:" + port
	mux.Handle("/", exampleop.SetupServer("http://"+address, store, slog.Default(), true))
	log.Fatal(http.ListenAndServe(address, mux))
}
