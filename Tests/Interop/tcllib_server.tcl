# tcllib's FTP server, written in Tcl in the years before EPSV and FEAT: tcllib_server.tcl HOST USER PASSWORD; prints `ready PORT`.

package require ftpd

lassign $argv host user password

proc authenticate {name given} {
    global user password
    return [expr {$name eq $user && $given eq $password}]
}

proc permit {args} { return 1 }
proc note {severity text} { puts stderr "$severity: $text" }

::ftpd::config -authUsrCmd authenticate -authFileCmd permit -logCmd note
set ::ftpd::port 0
::ftpd::server $host
puts "ready $::ftpd::port"
flush stdout
vwait forever
