package account

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestPasswordCost fails if guessing a password is cheaper than documented.
func TestPasswordCost(t *testing.T) {
	a := must(Open(t.Context(), template.SQLite(t), Options{}))(t)
	defer a.Close()
	hash := must(a.passwords.hash(t.Context(), password))(t)
	if want := "$argon2id$v=19$m=65536,t=3,p=4$"; !strings.HasPrefix(hash, want) {
		t.Errorf("hash %s, want %s…", hash, want)
	}
	if ok := must(a.passwords.matches(t.Context(), hash, password))(t); !ok {
		t.Error("the right password does not match")
	}
	if again := must(a.passwords.hash(t.Context(), password))(t); again == hash {
		t.Error("two hashes of one password are the same: there is no salt")
	}
	if hashesAtOnce != 2 {
		t.Errorf("%d hashes at once", hashesAtOnce)
	}
}

// TestKnownHash checks a hash of another program: the vector of the reference
// implementation (argon2 -id, "password", "somesalt", t 2, m 65536, p 1).
func TestKnownHash(t *testing.T) {
	a := open(t, template.SQLite(t), newClock())
	const hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, tt := range []struct {
		password string
		want     bool
	}{{"password", true}, {"Password", false}, {"", false}} {
		if got := must(a.passwords.matches(t.Context(), hash, tt.password))(t); got != tt.want {
			t.Errorf("%q matches: %t, want %t", tt.password, got, tt.want)
		}
	}
}

// TestDamagedHash parses hashes that are invalid or too expensive.
func TestDamagedHash(t *testing.T) {
	a := open(t, template.SQLite(t), newClock())
	good := must(a.passwords.hash(t.Context(), password))(t)
	edit := func(i int, s string) string {
		p := strings.Split(good, "$")
		p[i] = s
		return strings.Join(p, "$")
	}
	for name, hash := range map[string]string{
		"empty":          "",
		"other function": edit(1, "argon2i"),
		"other version":  edit(2, "v=16"),
		"no parameters":  edit(3, ""),
		"vast memory":    edit(3, "m=4194304,t=1,p=1"),
		"no passes":      edit(3, "m=64,t=0,p=1"),
		"no threads":     edit(3, "m=64,t=1,p=0"),
		"no salt":        edit(4, ""),
		"no base64":      edit(5, "!!!!"),
		"short":          edit(5, "AAAA"),
	} {
		if ok, err := a.passwords.matches(t.Context(), hash, password); ok || !errors.Is(err, errHash) {
			t.Errorf("%s: %t, %v, want %v", name, ok, err, errHash)
		} else if strings.Contains(err.Error(), "$") {
			t.Errorf("%s: the error shows the hash: %v", name, err)
		}
	}
}

// TestHashesAtOnce fails if more hashes run, or wait, than the limits allow.
func TestHashesAtOnce(t *testing.T) {
	a := open(t, template.SQLite(t), newClock())
	for range hashesAtOnce {
		a.passwords.hashing <- struct{}{}
	}
	done := make(chan error, 1)
	go func() {
		_, err := a.passwords.hash(t.Context(), password)
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("a third hash was computed at the same time: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	<-a.passwords.hashing
	check(t, <-done)
	for range hashesWaiting {
		a.passwords.waiting <- struct{}{}
	}
	_, err := a.passwords.hash(t.Context(), password)
	checkError(t, "one too many", err, ErrTooMany)
}

func TestPasswordRules(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		for _, tt := range []struct {
			name, user, password string
			want                 error
		}{
			{"good", "u1", "twelve chars", nil},
			{"none", "u2", "", nil},
			{"eleven", "u3", "eleven char", ErrInvalid},
			{"twelve of two bytes", "u4", "äöüßäöüßäöüß", nil},
			{"eleven of two bytes", "u5", "äöüßäöüßäöü", ErrInvalid},
			{"the longest", "u6", strings.Repeat("x", 1024), nil},
			{"too long", "u7", strings.Repeat("x", 1025), ErrInvalid},
			{"no text", "u8", "\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe", ErrInvalid},
			{"the name", "Anna Anderson", "anna anderson", ErrInvalid},
		} {
			u, err := a.Users.Add(t.Context(), User{Name: tt.user}, tt.password)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
			}
			if err != nil && tt.password != "" && strings.Contains(err.Error(), tt.password) {
				t.Errorf("%s: the error holds the password", tt.name)
			}
			if err != nil {
				continue
			}
			if u.HasPassword != (tt.password != "") {
				t.Errorf("%s: HasPassword %t", tt.name, u.HasPassword)
			}
			_, err = a.Logins.ByPassword(t.Context(), tt.user, tt.password, "")
			if tt.password == "" {
				checkError(t, tt.name, err, ErrWrongPassword)
			} else {
				check(t, err)
			}
		}
	})
}

func TestAuthenticate(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		ctx := t.Context()
		addUser(t, a, "Zoë")
		gone := addUser(t, a, "gone")
		must(a.Users.Update(ctx, gone.ID, func(u *User) error { u.Disabled = true; return nil }))(t)
		must(a.Logins.ByOIDC(ctx, "https://idp.example", "42", "elsewhere", ""))(t)
		must(a.Users.Add(ctx, User{Name: "composed"}, "caf\u00e9 caf\u00e9 caf\u00e9"))(t)
		for _, tt := range []struct {
			name, user, password string
			want                 error
		}{
			{"right", "Zoë", password, nil},
			{"other case", " ZOË ", password, nil},
			{"name of another form", "Zoe\u0308", password, nil},
			{"password of another form", "composed", "cafe\u0301 cafe\u0301 cafe\u0301", nil},
			{"wrong", "Zoë", password + "!", ErrWrongPassword},
			{"case of the password", "Zoë", strings.ToUpper(password), ErrWrongPassword},
			{"no password", "Zoë", "", ErrWrongPassword},
			{"unknown", "nobody", password, ErrWrongPassword},
			{"no name", "", password, ErrWrongPassword},
			{"vast", "Zoë", strings.Repeat("x", 1<<20), ErrWrongPassword},
			{"no text", "Zo\xff", password, ErrWrongPassword},
			{"disabled", "gone", password, ErrDisabled},
			{"disabled and wrong", "gone", "another password", ErrWrongPassword},
			{"from elsewhere", "elsewhere", "", ErrWrongPassword},
		} {
			u, err := a.Logins.ByPassword(ctx, tt.user, tt.password, "")
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
			}
			if err == nil && (u.LastLoginAt == nil || !u.LastLoginAt.Equal(c.now())) {
				t.Errorf("%s: last login %v, want %v", tt.name, u.LastLoginAt, c.now())
			}
			c.add(time.Hour) // the limit has a test of its own
		}
	})
}

// TestUnknownUserTakesAsLong fails if no hash is computed for users who do not exist or have no password.
func TestUnknownUserTakesAsLong(t *testing.T) {
	a := open(t, template.SQLite(t), newClock())
	must(a.Users.Add(t.Context(), User{Name: "without"}, ""))(t)
	for _, name := range []string{"nobody", "without"} {
		for range hashesWaiting {
			a.passwords.waiting <- struct{}{}
		}
		if _, err := a.Logins.ByPassword(t.Context(), name, password, ""); !errors.Is(err, ErrTooMany) {
			t.Errorf("%s: %v without computing a hash", name, err)
		}
		for range hashesWaiting {
			<-a.passwords.waiting
		}
	}
}

// TestCostRises logs in a user whose hash has a lower cost.
func TestCostRises(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		u := addUser(t, open(t, url, c), "anna")
		dear := must(Open(t.Context(), url, Options{Now: c.now, Password: PasswordCost{Memory: 128, Passes: 2, Threads: 1}}))(t)
		defer dear.Close()
		for range 2 { // with the old hash and the new
			must(dear.Logins.ByPassword(t.Context(), "anna", password, ""))(t)
			_, hash, err := dear.Logins.withPassword(t.Context(), u.Name)
			check(t, err)
			if !strings.HasPrefix(hash, "$argon2id$v=19$m=128,t=2,p=1$") {
				t.Errorf("hash %s", hash)
			}
		}
		if n := must(dear.Revocations.Latest(t.Context()))(t); n != 0 {
			t.Errorf("a new hash of the same password revoked something: %d", n)
		}
	})
}

// try makes a login attempt and returns how long to wait for another.
func try(t *testing.T, a *Accounts, name, password, address string) (time.Duration, error) {
	t.Helper()
	_, err := a.Logins.ByPassword(t.Context(), name, password, address)
	if e, ok := errors.AsType[*LimitError](err); ok {
		return e.Wait, err
	}
	return 0, err
}

func TestLimitOfName(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		addUser(t, a, "anna")
		n := 0
		elsewhere := func() string { // each time another address
			n++
			return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}).String()
		}
		wrong := func() error {
			_, err := try(t, a, "Anna", "not the password", elsewhere())
			return err
		}
		for range 5 {
			checkError(t, "free attempt", wrong(), ErrWrongPassword)
		}
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			want *= time.Second
			for _, pw := range []string{"not the password", password} { // the right one has to wait, too
				wait, err := try(t, a, "anna", pw, elsewhere())
				checkError(t, "too early", err, ErrTooMany)
				if wait < want || wait > want+time.Second {
					t.Errorf("wait %v, want %v", wait, want)
				}
			}
			c.add(want + time.Second)
			checkError(t, "in time", wrong(), ErrWrongPassword)
		}
		c.add(61 * time.Second)
		if _, err := try(t, a, "anna", password, elsewhere()); err != nil {
			t.Errorf("right password in time: %v", err)
		}
		for range 5 {
			checkError(t, "free again", wrong(), ErrWrongPassword)
		}
		c.add(3 * time.Hour)
		for range 5 {
			checkError(t, "free after hours", wrong(), ErrWrongPassword)
		}
	})
}

func TestLimitOfAddress(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		addUser(t, a, "anna")
		name := 0
		wrong := func(address string) error {
			name++ // each time another
			_, err := try(t, a, strings.Repeat("n", name%60+1), "not the password", address)
			return err
		}
		for i := range 20 {
			checkError(t, "free attempt", wrong("2001:db8:1:2::"+string(rune('1'+i%9))), ErrWrongPassword)
		}
		checkError(t, "one network", wrong("[2001:db8:1:2:ffff::1]:4711"), ErrTooMany)
		checkError(t, "another network", wrong("2001:db8:1:3::1"), ErrWrongPassword)
		c.add(2 * time.Second)
		// Owning an account does not help to guess others.
		if _, err := try(t, a, "anna", password, "2001:db8:1:2::1"); err != nil {
			t.Errorf("right password: %v", err)
		}
		checkError(t, "the one that is free by now", wrong("2001:db8:1:2::1"), ErrWrongPassword)
		checkError(t, "after a right password", wrong("2001:db8:1:2::1"), ErrTooMany)
		// A hospital whose users mistype now and then is never locked out.
		for range 200 {
			c.add(61 * time.Second)
			checkError(t, "now and then", wrong("192.0.2.1"), ErrWrongPassword)
		}
	})
}

// TestLimitOfGuesser guesses continuously from one address. The user, at another address,
// must not be locked out for long.
func TestLimitOfGuesser(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		addUser(t, a, "anna")
		guess := func(seconds int) {
			for range seconds / 2 {
				if _, err := try(t, a, "anna", "not the password", "192.0.2.66"); err == nil {
					t.Fatal("a wrong password is right")
				}
				c.add(2 * time.Second)
			}
		}
		guess(600)
		refused := 0
		for range 60 {
			if _, err := try(t, a, "anna", password, "192.0.2.1"); err != nil {
				checkError(t, "the user", err, ErrTooMany)
				refused++
			}
			guess(10)
		}
		// The attacker's address waits for minutes, and the user for one after each
		// guess.
		if refused > 15 {
			t.Errorf("the user was refused %d times of 60 in ten minutes", refused)
		}
	})
}

// TestLimitTogether tries many passwords concurrently in two processes.
func TestLimitTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		processes := []*Accounts{open(t, url, c), open(t, url, c)}
		addUser(t, processes[0], "anna")
		results := make(chan error)
		for i := range 20 {
			go func() {
				_, err := processes[i%2].Logins.ByPassword(t.Context(), "anna", "not the password", "192.0.2.1")
				results <- err
			}()
		}
		looked := 0
		for range 20 {
			switch err := <-results; {
			case errors.Is(err, ErrWrongPassword):
				looked++
			case !errors.Is(err, ErrTooMany):
				t.Error(err)
			}
		}
		if looked != 5 {
			t.Errorf("%d passwords were looked at, want 5", looked)
		}
	})
}

// TestLimitIsBounded fails if attempts with many names fill the database.
func TestLimitIsBounded(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, c *clock) {
		for _, at := range []time.Time{c.now(), c.now().Add(-4 * time.Hour)} {
			_, err := a.write.ExecContext(t.Context(), `INSERT INTO login_failures (key, failures, at, retry_at)
				WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20500)
				SELECT $1 || '-' || i, 1, CAST($2 AS BIGINT), 0 FROM n`, at.Format("15"), at.UnixMicro())
			check(t, err)
		}
		checkError(t, "unknown", a.Logins.begin(t.Context(), newAttempt("n", "192.0.2.1")), nil)
		var n int
		check(t, a.read.QueryRowContext(t.Context(), `SELECT count(*) FROM login_failures`).Scan(&n))
		if n != failuresMost+2 {
			t.Errorf("%d rows, want %d", n, failuresMost+2)
		}
	})
}

// TestNoNameIsKept fails if the database contains a typed name, which may be a password.
func TestNoNameIsKept(t *testing.T) {
	withAccounts(t, func(t *testing.T, a *Accounts, _ *clock) {
		try(t, a, password, "anna", "192.0.2.1") //nolint:errcheck // it is wrong
		keys := must(all(t.Context(), a.read, func(r row) (s string, err error) { return s, r.Scan(&s) }, "keys", `SELECT key FROM login_failures`))(t)
		if len(keys) != 2 {
			t.Errorf("keys %q", keys)
		}
		for _, k := range keys {
			if len(k) != 64 || strings.Contains(k, "horse") || strings.Contains(k, "192") {
				t.Errorf("key %q", k)
			}
		}
	})
}
