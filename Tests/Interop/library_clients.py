"""What programs are built with, behind the verbs of clients.py: aioftp, Perl's Net::FTP, Java's commons-net, Go's in rclone."""

import asyncio
import subprocess
import tempfile
from pathlib import Path

import aioftp
from clients import TIMEOUT, ClientFailed, _run
from raw_client import tls_context


class Aioftp:
    """Connects and begins TLS on the data connection before it sends the command."""

    name = "aioftp"

    def _do(self, route, work):
        async def session():
            context = tls_context(route.gateway.identity, route.tls)
            is_implicit = route.mode == "implicit"
            client = aioftp.Client(
                ssl=context if is_implicit else None, connection_timeout=TIMEOUT, passive_commands=[route.setup.lower()]
            )
            await client.connect(route.host, route.port)
            if not is_implicit:
                await client.upgrade_to_tls(context)
            await client.login(route.user, route.secret)
            try:
                return await work(client)
            finally:
                await client.quit()

        try:
            return asyncio.run(asyncio.wait_for(session(), TIMEOUT))
        except (aioftp.errors.AIOFTPException, OSError, EOFError, TimeoutError) as problem:
            raise ClientFailed(f"{self.name}: {problem!r}") from problem

    def upload(self, route, name, content):
        async def work(client):
            async with client.upload_stream(route.backend.path(name)) as stream:
                await stream.write(content)

        self._do(route, work)

    def download(self, route, name):
        async def work(client):
            async with client.download_stream(route.backend.path(name)) as stream:
                return await stream.read()

        return self._do(route, work)

    def listing(self, route):
        async def work(client):
            return [path.name for path, _ in await client.list(route.backend.path(""))]

        return self._do(route, work)


_PERL = """
use strict;
use Net::FTP;
my ($host, $port, $ca, $implicit, $passive, $user, $password, $verb, $remote, $local) = @ARGV;
my $ftp = Net::FTP->new($host, Port => $port, Timeout => 30, SSL => $implicit, SSL_ca_file => $ca, Passive => $passive,
    Debug => 1) or die "connect: $@";
if (!$implicit) { $ftp->starttls or die "starttls: " . $ftp->message; }
$ftp->login($user, $password) or die "login: " . $ftp->message;
$ftp->binary;
if ($verb eq "put") { $ftp->put($local, $remote) or die "put: " . $ftp->message; }
elsif ($verb eq "get") { $ftp->get($remote, $local) or die "get: " . $ftp->message; }
else { print "$_\\n" for $ftp->ls($remote); }
die "last reply: " . $ftp->message unless $ftp->ok;
$ftp->quit;
"""


class NetFTP:
    name = "perl"

    def _run(self, route, verb, remote, local=""):
        where = [route.host, route.port, route.gateway.identity.certificate, int(route.mode == "implicit")]
        how = [int(route.is_passive), route.user, route.secret, verb, route.backend.path(remote), local]
        return _run(["perl", "-e", _PERL, *where, *how])

    def upload(self, route, name, content):
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self._run(route, "put", name, file.name)

    def download(self, route, name):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "whole"
            self._run(route, "get", name, path)
            return path.read_bytes()

    def listing(self, route):
        return self._run(route, "ls", "").decode().splitlines()


_JAVA = """
import java.io.*;
import java.nio.file.*;
import org.apache.commons.net.*;
import org.apache.commons.net.ftp.*;
import org.apache.commons.net.util.TrustManagerUtils;

public class Transfer {
    public static void main(String[] a) throws Exception {
        FTPSClient ftp = new FTPSClient(a[2].equals("implicit"));
        ftp.setTrustManager(TrustManagerUtils.getAcceptAllTrustManager());
        ftp.addProtocolCommandListener(new PrintCommandListener(new PrintWriter(System.err), true));
        ftp.setDefaultTimeout(30000);
        // aioftp's server says "200 " and no more.
        ftp.setStrictReplyParsing(false);
        ftp.connect(a[0], Integer.parseInt(a[1]));
        ftp.execPBSZ(0);
        ftp.execPROT("P");
        check(ftp, ftp.login(a[4], a[5]));
        check(ftp, ftp.setFileType(FTP.BINARY_FILE_TYPE));
        if (a[3].equals("PORT") || a[3].equals("EPRT")) ftp.enterLocalActiveMode(); else ftp.enterLocalPassiveMode();
        ftp.setUseEPSVwithIPv4(a[3].equals("EPSV"));
        if (a[6].equals("put")) check(ftp, ftp.storeFile(a[7], new FileInputStream(a[8])));
        else if (a[6].equals("get")) {
            try (OutputStream out = new FileOutputStream(a[8])) { check(ftp, ftp.retrieveFile(a[7], out)); }
        } else {
            for (FTPFile file : ftp.listFiles(a[7])) System.out.println(file.getName());
            check(ftp, true);
        }
        ftp.logout();
        ftp.disconnect();
    }

    static void check(FTPSClient ftp, boolean isDone) throws IOException {
        if (!isDone || !FTPReply.isPositiveCompletion(ftp.getReplyCode())) throw new IOException(ftp.getReplyString());
    }
}
"""


class CommonsNet:
    name = "commons-net"
    _jar = "/usr/share/java/commons-net.jar"

    def __init__(self):
        self._classes = None

    def _run(self, route, verb, remote, local=""):
        if not self._classes:
            self._classes = tempfile.TemporaryDirectory()
            source = Path(self._classes.name) / "Transfer.java"
            source.write_text(_JAVA)
            _run(["javac", "-cp", self._jar, "-d", self._classes.name, source])
        flags = ["-XX:TieredStopAtLevel=1", "-cp", f"{self._jar}:{self._classes.name}"]
        if route.tls:
            flags.append(f"-Djdk.tls.client.protocols=TLSv{route.tls}")
        where = [route.host, route.port, route.mode, route.setup, route.user, route.secret]
        return _run(["java", *flags, "Transfer", *where, verb, route.backend.path(remote), local])

    upload = NetFTP.upload
    download = NetFTP.download
    listing = NetFTP.listing


class Rclone:
    """Go's TLS, and several connections at once."""

    name = "rclone"

    def _run(self, route, *arguments):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            hidden = subprocess.run(["rclone", "obscure", route.secret], capture_output=True, text=True, check=True).stdout
            tls = "tls" if route.mode == "implicit" else "explicit_tls"
            file.write(f"[r]\ntype = ftp\nhost = {route.host}\nport = {route.port}\nuser = {route.user}\n{tls} = true\n")
            file.write(f"pass = {hidden}\ndisable_epsv = {'true' if route.setup == 'PASV' else 'false'}\n")
            file.flush()
            # It has no way to be told whom to trust for FTP but the machine's own list.
            return _run(
                [
                    "rclone",
                    "--config",
                    file.name,
                    "--ftp-no-check-certificate",
                    "--retries",
                    1,
                    "--low-level-retries",
                    1,
                    *arguments,
                ]
            )

    def upload(self, route, name, content):
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self._run(route, "copyto", file.name, f"r:{route.backend.path(name)}")

    def download(self, route, name):
        return self._run(route, "cat", f"r:{route.backend.path(name)}")

    def listing(self, route):
        return self._run(route, "lsf", f"r:{route.backend.path('')}").decode().splitlines()


ALL = [Aioftp(), NetFTP(), CommonsNet(), Rclone()]
