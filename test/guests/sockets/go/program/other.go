//go:build !wasip1

package main

// The native program is for measuring its server; it needs no driver.
func query(string, []string) { fail("no database here") }
