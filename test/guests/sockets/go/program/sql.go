//go:build wasip1

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"

	"sockets/wasisock"
)

type dialer struct{}

func (dialer) Dial(network, address string) (net.Conn, error) { return wasisock.Dial(network, address) }

func (dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return wasisock.DialContext(ctx, network, address)
}

func (dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return wasisock.DialContext(ctx, network, address)
}

// database/sql against PostgreSQL, by a driver in pure Go.
func query(dsn string, queries []string) {
	connector, err := pq.NewConnector(dsn)
	if err != nil {
		fail(err)
	}
	connector.Dialer(dialer{})
	db := sql.OpenDB(connector)
	if len(queries) > 0 {
		err = run(db, queries)
	} else {
		err = tour(db)
	}
	if err != nil {
		fail(err)
	}
}

// Each row is a line, with spaces between its columns.
func run(db *sql.DB, queries []string) error {
	for _, query := range queries {
		rows, err := db.Query(query)
		if err != nil {
			return err
		}
		if err := print(rows); err != nil {
			return err
		}
	}
	return nil
}

func print(rows *sql.Rows) error {
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		words := make([]string, len(values))
		for i, value := range values {
			words[i] = value.String
		}
		fmt.Println(strings.Join(words, " "))
	}
	return rows.Err()
}

func tour(db *sql.DB) error {
	if _, err := db.Exec(`create table if not exists fruit (id serial primary key, name text unique, price numeric, at timestamptz default now())`); err != nil {
		return err
	}
	if _, err := db.Exec(`truncate fruit`); err != nil {
		return err
	}
	insert, err := db.Prepare(`insert into fruit (name, price) values ($1, $2) returning id`)
	if err != nil {
		return err
	}
	for i, name := range []string{"apple", "Birne", "さくらんぼ"} {
		var id int
		if err := insert.QueryRow(name, float64(i)+0.5).Scan(&id); err != nil {
			return err
		}
	}
	if err := refused(db); err != nil {
		return err
	}
	if err := rolledBack(db); err != nil {
		return err
	}
	if err := atOnce(db, 8); err != nil {
		return err
	}
	return run(db, []string{`select name, price from fruit order by id`, `select count(*) from generate_series(1, 100000)`})
}

// The server's own error comes through with its code.
func refused(db *sql.DB) error {
	_, err := db.Exec(`insert into fruit (name) values ('apple')`)
	var refusal *pq.Error
	if !errors.As(err, &refusal) {
		return fmt.Errorf("a second apple: %v", err)
	}
	fmt.Println("refused:", refusal.Code.Name())
	return nil
}

func rolledBack(db *sql.DB) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`delete from fruit`); err != nil {
		return err
	}
	return tx.Rollback()
}

// So many connections, each waiting in the server.
func atOnce(db *sql.DB, n int) error {
	db.SetMaxOpenConns(n)
	var wait sync.WaitGroup
	failed := make(chan error, n)
	for i := 0; i < n; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			var one int
			if err := db.QueryRow(`select $1::int from pg_sleep(0.05)`, i).Scan(&one); err != nil {
				failed <- err
			}
		}()
	}
	wait.Wait()
	close(failed)
	for err := range failed {
		return err
	}
	fmt.Println("at once:", n)
	return nil
}
