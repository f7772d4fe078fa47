package redis

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// keepAlive finds a dead peer of an idle connection within 45 s, before a load
// balancer or NAT on the way forgets the connection.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}

// connector returns what opens a connection to one address, over TLS unless the
// configuration is nil.
func connector(config *tls.Config) func(context.Context, string) (net.Conn, error) {
	plain := &net.Dialer{KeepAliveConfig: keepAlive}
	return func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := plain.DialContext(ctx, "tcp", addr)
		if err != nil || config == nil {
			return conn, err
		}
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return secured, nil
	}
}
