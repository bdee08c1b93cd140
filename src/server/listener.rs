//! Accepts connections: a bounded number, each counted until it is closed.

use futures::{Stream, StreamExt};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::{Connected, TcpConnectInfo, TcpIncoming};

/// The first bytes of HTTP/2 without TLS.
const PLAIN_HTTP2: &[u8] = b"PRI";

/// The connections of a listener. A connection over the limit is closed at once, so that its client
/// gets an answer rather than silence.
pub(super) fn connections(
    listener: TcpListener,
    connections_max: usize,
    encrypted: bool,
    keepalive: Duration,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(connections_max));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(keepalive));
    incoming.filter_map(move |accepted| {
        let admitted = match accepted {
            Err(error) => Some(Err(error)),
            Ok(stream) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => Some(Ok(Connection { stream, expects_tls: encrypted, started: false, _place: place })),
                Err(_) => {
                    tracing::warn!(connections_max, "connection refused: too many are open");
                    None
                }
            },
        };
        std::future::ready(admitted)
    })
}

/// One admitted connection; it gives its place back when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    expects_tls: bool,
    /// Its first bytes have been seen.
    started: bool,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl Connection {
    /// The connection is closed without an answer, and the log says why. An HTTP/2 GOAWAY with a sentence
    /// would be kinder, but gRPC libraries in C take it for a connection that worked and come back at once,
    /// a thousand times a second (measured with pyarrow 26); after a plain close they wait longer and longer.
    fn refuse_plain_text(&self) -> io::Error {
        tracing::warn!(peer = ?self.stream.peer_addr().ok(), "connection refused: the client does not speak TLS");
        io::Error::new(io::ErrorKind::InvalidData, "plain text on a TLS listener")
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if !self.started && matches!(polled, Poll::Ready(Ok(()))) {
            self.started = true;
            if self.expects_tls && buffer.filled()[before..].starts_with(PLAIN_HTTP2) {
                return Poll::Ready(Err(self.refuse_plain_text()));
            }
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffers: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn listening(connections_max: usize, encrypted: bool) -> (std::net::SocketAddr, impl Stream<Item = io::Result<Connection>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, connections(listener, connections_max, encrypted, Duration::from_secs(60)))
    }

    #[tokio::test]
    async fn a_connection_over_the_limit_is_closed_and_a_place_comes_back() {
        let (address, incoming) = listening(1, false).await;
        tokio::pin!(incoming);
        let _first_client = TcpStream::connect(address).await.unwrap();
        let first = incoming.next().await.unwrap().unwrap();
        let mut second_client = TcpStream::connect(address).await.unwrap();
        let mut byte = [0; 1];
        tokio::select! {
            _ = incoming.next() => panic!("the second connection was admitted"),
            read = second_client.read(&mut byte) => assert_eq!(read.unwrap(), 0, "closed"),
        }
        drop(first);
        let _third_client = TcpStream::connect(address).await.unwrap();
        assert!(incoming.next().await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_client_without_tls_is_refused_and_one_with_tls_is_not() {
        for (first_bytes, accepted) in [(&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], false), (&[0x16, 3, 1, 0, 5][..], true)] {
            let (address, incoming) = listening(1, true).await;
            tokio::pin!(incoming);
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(first_bytes).await.unwrap();
            let mut connection = incoming.next().await.unwrap().unwrap();
            assert_eq!(connection.read(&mut [0; 64]).await.is_ok(), accepted, "{first_bytes:?}");
        }
    }
}
