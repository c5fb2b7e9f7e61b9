/**
 * Scripts of commands for the differential test: each runs on an empty map, line by line, against Redis 7.0 and against
 * ours, and every reply must be the same bytes. `~` before a line: the order of the items does not matter. `#`: comment.
 */
export const scripts: Readonly<Record<string, string>> = {
  "the plain commands of a connection": `
    PING
    ping hello
    PiNg
    PING a b
    ECHO "bin\\x00\\xff\\r\\n"
    ECHO
    ECHO a b
    SELECT 0
    SELECT 1
    SELECT -1
    SELECT x
    SELECT 99999999999
    SELECT
    QUIT_ not a command
    DBSIZE
    DBSIZE x
  `,
  "unknown commands and wrong numbers of arguments": `
    NOSUCH
    NOSUCH a b c
    nosuch "a\\r\\nb" "c\\x00d"
    "new\\r\\nline" x
    NOSUCH aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b c
    NOSUCH aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb ccccccccccccccccc
    NOSUCHaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    ""
    GET
    GET a b
    get
    SET a
    MSET a
    MSET a 1 b
    MSETNX a 1 b
    DEL
    CLIENT
    CLIENT NOSUCH
    client nosuch x
    CONFIG
    CONFIG GET
    CONFIG NOSUCH a
    OBJECT
    OBJECT ENCODING
    OBJECT NOSUCH a
    MEMORY
    MEMORY USAGE
    COMMAND NOSUCH
    COMMAND COUNT x
    CLIENT ID x
    CLIENT SETNAME
    CLIENT "no\\r\\nline"
  `,
  "what took long, and its settings": `
    SLOWLOG
    SLOWLOG NOSUCH
    SLOWLOG GET 1 2
    SLOWLOG GET -2
    SLOWLOG GET x
    SLOWLOG GET 0
    SLOWLOG LEN x
    SLOWLOG RESET
    SLOWLOG LEN
    SLOWLOG GET -1
    LATENCY
    LATENCY NOSUCH
    LATENCY HISTORY
    LATENCY HISTORY command
    LATENCY HISTORY nosuch
    LATENCY LATEST
    LATENCY LATEST x
    LATENCY RESET
    LATENCY RESET command nosuch
    LATENCY HISTOGRAM nosuch
    CONFIG GET slowlog-log-slower-than
    CONFIG GET slowlog-max-len
    CONFIG SET slowlog-log-slower-than x
    CONFIG SET slowlog-log-slower-than -2
    CONFIG SET slowlog-log-slower-than 1.5
    CONFIG SET slowlog-log-slower-than 99999999999999999999
    CONFIG SET slowlog-max-len -1
    CONFIG SET slowlog-max-len 5x
    CONFIG SET latency-monitor-threshold -1
    CONFIG SET latency-monitor-threshold 1e3
    CONFIG SET slowlog-max-len 64 latency-monitor-threshold 7 slowlog-log-slower-than 20000
    CONFIG GET slowlog-max-len
    CONFIG GET latency-monitor-threshold
    CONFIG GET slowlog-log-slower-than
    CONFIG SET slowlog-max-len 128 latency-monitor-threshold 0 slowlog-log-slower-than 10000
  `,
  "names of clients": `
    CLIENT GETNAME
    CLIENT SETNAME worker
    CLIENT GETNAME
    CLIENT SETNAME "two words"
    CLIENT SETNAME "line\\n"
    CLIENT GETNAME
    CLIENT SETNAME ""
    CLIENT GETNAME
    CLIENT NO-EVICT ON
    CLIENT NO-EVICT off
    CLIENT NO-EVICT maybe
    CLIENT KILL 127.0.0.1:1
    CLIENT KILL ID
    CLIENT KILL ID 0
    CLIENT KILL ID x
    CLIENT KILL ID 99999999
    CLIENT KILL ID 99999999 SKIPME
    CLIENT KILL ID 99999999 SKIPME maybe
    CLIENT KILL ID 99999999 SKIPME no
    CLIENT KILL TYPE nosuch SKIPME yes
    CLIENT KILL TYPE pubsub
    CLIENT KILL USER nosuch
    CLIENT KILL ADDR 127.0.0.1:1 LADDR 127.0.0.1:2
    CLIENT KILL NOSUCH x
    CLIENT LIST TYPE nosuch
    CLIENT LIST TYPE pubsub
    CLIENT LIST TYPE
    CLIENT LIST ID
    CLIENT LIST ID x
    CLIENT LIST ID 99999999
    CLIENT LIST nosuch
    CLIENT LIST nosuch x
  `,
  "the login where there is no password": `
    AUTH x
    AUTH default x
    AUTH nosuch x
    AUTH a b c
    AUTH
    HELLO 4
    HELLO 1
    HELLO x
    HELLO 2 AUTH nosuch x
    HELLO 2 AUTH a
    HELLO 2 SETNAME "a b"
    HELLO 2 SETNAME
    HELLO 2 NOSUCH
    HELLO 9223372036854775808
    CLIENT GETNAME
  `,
  "set and get": `
    GET a
    SET a 1
    GET a
    SET a "\\x00\\xff\\r\\n"
    GET a
    SET "" ""
    GET ""
    EXISTS ""
    STRLEN a
    STRLEN none
    TYPE a
    TYPE none
    SET a 2 NX
    GET a
    SET b 2 nx
    SET c 2 XX
    SET b 3 xx
    SET a 1 NX XX
    SET a 1 XX NX
    SET a 1 NX NX
    SET a 1 NOSUCH
    SET a 1 GET
    SET new 1 GET
    SET a 5 NX GET
    SET none5 5 XX GET
    SET none6 6 NX GET
    GET none6
    SET a 7 XX GET
    GET a
    SET a 8 GET EX 100
    TTL a
    SET a 9 KEEPTTL
    TTL a
    SET a 9 KEEPTTL EX 10
    SET a 9 EX 10 KEEPTTL
    SET a 9 EX 10 PX 10
    SET a 9 EX 10 EX 20
    TTL a
    SET a 9 EX
    SET a 9 EX 0
    SET a 9 EX -1
    SET a 9 EX x
    SET a 9 EX 1.5
    SET a 9 PX 0
    SET a 9 EX 9223372036854775807
    SET a 9 EX 9223372036854775
    SET a 9 PX 9223372036854775807
    SET a 9 EX 99999999999999999999
    SET a 9 EXAT 0
    SET a 9 PXAT -5
    TTL a
    SET a 9 EXAT 1
    GET a
    SET a 9 PXAT 1
    GET a
    TTL a
    SET a 1
    SET a 2 PXAT 1 GET
    GET a
    SET a 9 PXAT 4102444800123
    PEXPIRETIME a
    EXPIRETIME a
    SET a 9 EXAT 4102444800
    PEXPIRETIME a
    SET a 10
    TTL a
    SET a 9 PERSIST
    SET a 9 GET GET
    SET a 9 EX 10 NX
    SET a 9 NX EX 10
    SET a 9 PX 100000 XX
    TTL a
    SET a 9 EX 10 junk
  `,
  "the older forms of set": `
    SETEX a 100 v
    TTL a
    SETEX a 0 v
    SETEX a -1 v
    SETEX a x v
    SETEX a 9223372036854775807 v
    SETEX a 100
    PSETEX a 100000 v
    TTL a
    PSETEX a 0 v
    PSETEX a x v
    SETNX a 1
    SETNX b 1
    GET b
    TTL a
    GETSET a 2
    TTL a
    GETSET none 2
    GETSET none 3
    GETDEL none
    GETDEL none
    GETDEL
    EXISTS none
  `,
  getex: `
    GETEX none
    GETEX none EX x
    GETEX none NOSUCH
    SET a v
    GETEX a
    TTL a
    GETEX a EX 100
    TTL a
    GETEX a
    TTL a
    GETEX a PERSIST
    TTL a
    GETEX a PERSIST EX 10
    GETEX a EX 10 PERSIST
    GETEX a EX 10 PX 10
    GETEX a EX
    GETEX a EX 0
    GETEX a EX x
    GETEX a EX -5
    GETEX a PX 100000
    TTL a
    GETEX a PXAT 4102444800123
    PEXPIRETIME a
    GETEX a EXAT 4102444800
    PEXPIRETIME a
    GETEX a KEEPTTL
    GETEX a NX
    GETEX a PERSIST PERSIST
    GETEX a PXAT 1
    GET a
  `,
  "several keys at once": `
    MSET a 1 b 2 a 3
    MGET a b none a
    MGET none
    MSETNX c 1 a 2
    MGET a c
    MSETNX c 1 d 2
    MSETNX e 1 e 2
    GET e
    MGET a b c d e
    DEL a b none a
    DEL none
    UNLINK c c d
    EXISTS e e none
    TOUCH e none e
    UNLINK e
    DBSIZE
    MSETNX a 1 b 2 c
  `,
  "parts of strings": `
    APPEND a Hello
    APPEND a " World"
    APPEND a ""
    GET a
    APPEND none ""
    EXISTS none
    GETRANGE a 0 4
    GETRANGE a -5 -1
    GETRANGE a 0 -1
    GETRANGE a 5 2
    GETRANGE a -1 -5
    GETRANGE a -100 3
    GETRANGE a 3 100
    GETRANGE a 100 200
    GETRANGE a -100 -50
    GETRANGE a 0 9223372036854775807
    GETRANGE a -9223372036854775808 9223372036854775807
    GETRANGE a x 1
    GETRANGE a 1 x
    GETRANGE a 1 9223372036854775808
    GETRANGE missing 0 1
    SUBSTR a 0 1
    SUBSTR a 0
    SETRANGE a 6 Redis
    GET a
    SETRANGE a 20 !
    GET a
    SETRANGE b 3 x
    GET b
    SETRANGE c 3 ""
    EXISTS c
    SETRANGE a 0 ""
    SETRANGE a -1 x
    SETRANGE a x x
    SETRANGE a 9223372036854775807 x
    SETRANGE a 16777216 x
    SETRANGE a 16777215 ""
    SETRANGE c 16777216 ""
    SETRANGE b 1 yy
    GET b
    SET t v EX 100
    APPEND t w
    TTL t
    SETRANGE t 0 z
    TTL t
    STRLEN t
  `,
  counters: `
    INCR a
    INCR a
    DECR a
    INCRBY a 10
    DECRBY a 3
    GET a
    TYPE a
    STRLEN a
    INCRBY a x
    INCRBY a 1.5
    INCRBY a 01
    INCRBY a +1
    INCRBY a " 1"
    INCRBY a -0
    INCRBY a ""
    INCRBY a 9223372036854775808
    SET s text
    INCR s
    SET s ""
    INCR s
    SET s " 1"
    INCR s
    SET s 01
    INCR s
    SET s -0
    INCR s
    SET s 1.0
    INCR s
    SET s 9223372036854775807
    INCR s
    DECR s
    INCRBY s 1
    INCRBY s 1
    SET s -9223372036854775808
    DECR s
    INCR s
    DECRBY s 1
    DECRBY s -9223372036854775808
    DECRBY none -9223372036854775808
    INCRBY none -9223372036854775808
    GET none
    INCRBY none 9223372036854775807
    SET s 9223372036854775808
    INCR s
    SET t 5 EX 100
    INCR t
    TTL t
    APPEND t 0
    INCR t
    SETRANGE t 0 9
    INCR t
    INCR a b
    INCRBY a
    SET big 9007199254740993
    INCR big
    DECRBY big 9007199254740993
  `,
  floats: `
    INCRBYFLOAT f 0.1
    INCRBYFLOAT f 0.2
    INCRBYFLOAT f -0.3
    SET f 10.50
    INCRBYFLOAT f 0.1
    INCRBYFLOAT f -5
    SET f 5.0e3
    INCRBYFLOAT f 2.0e2
    INCRBYFLOAT f 1e-5
    INCRBYFLOAT f x
    INCRBYFLOAT f ""
    INCRBYFLOAT f " 1"
    INCRBYFLOAT f "1 "
    INCRBYFLOAT f 1e
    INCRBYFLOAT f .
    INCRBYFLOAT f .5
    INCRBYFLOAT f 5.
    INCRBYFLOAT f +1
    INCRBYFLOAT f nan
    INCRBYFLOAT f -nan
    INCRBYFLOAT f inf
    INCRBYFLOAT f -inf
    INCRBYFLOAT f Infinity
    INCRBYFLOAT f infin
    INCRBYFLOAT f 1e5000
    INCRBYFLOAT f 1e-5000
    GET f
    SET f text
    INCRBYFLOAT f 1
    SET f inf
    INCRBYFLOAT f 1
    SET f 3
    INCRBYFLOAT f 1.000000000000000005
    SET f 3
    INCRBYFLOAT f 1.000000000000000001
    SET f 0
    INCRBYFLOAT f -0
    SET f 1e20
    INCRBYFLOAT f 0.1
    SET f 1e30
    INCRBYFLOAT f 1
    SET f 17179869184
    INCRBYFLOAT f 1.5
    SET f 123456789012345678
    INCRBYFLOAT f 0.123456789
    SET f 0.00000000000000001
    INCRBYFLOAT f 0.00000000000000001
    SET f 0.000000000000000001
    INCRBYFLOAT f 0.000000000000000001
    SET t 1 EX 100
    INCRBYFLOAT t 1.5
    TTL t
    SET f 1e4931
    INCRBYFLOAT f 1e4931
    SET f 1e4932
    INCRBYFLOAT f 1e4932
    INCRBYFLOAT new 3
    INCR new
    INCRBYFLOAT new 3.0
    INCR new
    INCRBYFLOAT new
  `,
  expiry: `
    EXPIRE none 10
    PEXPIRE none x
    EXPIRE none 9223372036854775807
    SET a v
    TTL a
    PTTL a
    EXPIRETIME a
    PEXPIRETIME a
    TTL none
    PTTL none
    EXPIRETIME none
    PEXPIRETIME none
    EXPIRE a 100
    TTL a
    EXPIRE a 100 NX
    EXPIRE a 200 XX
    TTL a
    EXPIRE a 100 GT
    EXPIRE a 300 gt
    TTL a
    EXPIRE a 400 LT
    EXPIRE a 50 LT
    TTL a
    PERSIST a
    PERSIST a
    PERSIST none
    EXPIRE a 100 XX
    EXPIRE a 100 GT
    EXPIRE a 100 XX LT
    EXPIRE a 100 LT
    TTL a
    EXPIRE a 100 NX XX
    EXPIRE a 100 NX GT
    EXPIRE a 100 GT LT
    EXPIRE a 100 NX LT XX
    EXPIRE a 100 NOSUCH
    EXPIRE a 100 NX NOSUCH
    EXPIRE a x NOSUCH
    EXPIRE a x
    EXPIRE a 1.5
    EXPIRE a
    EXPIRE a 9223372036854775807
    EXPIRE a 9223372036854775
    EXPIRE a -9223372036854775808
    EXPIRE a -9223372036854775
    EXISTS a
    SET a v
    PEXPIRE a 9223372036854775807
    PEXPIRE a -9223372036854775808
    EXISTS a
    SET a v
    EXPIRE a 0
    EXISTS a
    SET a v
    EXPIRE a -1
    EXISTS a
    SET a v
    EXPIREAT a 1
    GET a
    SET a v
    EXPIREAT a 4102444800
    EXPIRETIME a
    PEXPIREAT a 4102444800123
    PEXPIRETIME a
    PEXPIREAT a 4102444800999
    EXPIRETIME a
    PEXPIREAT a 1
    PEXPIRETIME a
    SET a v PX 100000
    TTL a
    SET a w
    TTL a
    SET a v EX 100
    EXPIRE a -1 GT
    EXPIRE a -1 LT
    EXISTS a
  `,
  "rename and copy": `
    RENAME none b
    RENAMENX none b
    RENAME none none
    SET a 1 EX 100
    RENAME a b
    EXISTS a
    GET b
    TTL b
    RENAME b b
    RENAMENX b b
    SET c 2
    RENAMENX b c
    RENAME b c
    GET c
    TTL c
    RENAMENX c d
    GET d
    RENAME d
    COPY d e
    TTL e
    COPY d e
    COPY d e REPLACE
    COPY d d
    COPY none f
    COPY none none
    COPY d f DB 0
    COPY d f DB 1
    COPY d f DB x
    COPY d f DB
    COPY d f NOSUCH
    COPY d f REPLACE DB 0
    COPY d g DB -1
    COPY d g DB 99999999999
    INCR n
    COPY n m
    INCR m
    GET n
  `,
  "walking through the keys": `
    KEYS *
    SCAN 0
    RANDOMKEY
    MSET one 1 two 2 three 3
    ~ KEYS *
    ~ KEYS t*
    KEYS o??
    KEYS [o]ne
    KEYS [^t]*
    KEYS none
    KEYS one
    KEYS on\\\\e
    KEYS
    ~ SCAN 0
    ~ SCAN 0 COUNT 100
    ~ SCAN 0 COUNT 100 MATCH t*
    ~ SCAN 0 COUNT 100 TYPE string
    ~ SCAN 0 COUNT 100 TYPE STRING
    ~ SCAN 0 COUNT 100 TYPE list
    SCAN 0 COUNT 0
    SCAN 0 COUNT -1
    SCAN 0 COUNT x
    SCAN 0 COUNT
    SCAN 0 MATCH
    SCAN 0 NOSUCH 1
    SCAN x
    SCAN 1x
    SCAN " 1"
    SCAN 99999999999999999999999
    SCAN
    DBSIZE
    FLUSHDB NOSUCH
    FLUSHDB ASYNC SYNC
    FLUSHDB async
    DBSIZE
    SET only 1
    RANDOMKEY
    FLUSHALL SYNC
    RANDOMKEY
  `,
  objects: `
    SET i 123
    SET e short
    SET r aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    SET m aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    SET big 9223372036854775808
    SET min -9223372036854775808
    SET zero 00
    OBJECT ENCODING i
    OBJECT encoding e
    OBJECT ENCODING r
    OBJECT ENCODING m
    OBJECT ENCODING big
    OBJECT ENCODING min
    OBJECT ENCODING zero
    OBJECT ENCODING none
    OBJECT IDLETIME none
    OBJECT FREQ i
    OBJECT FREQ none
    MEMORY USAGE none
    MEMORY USAGE none SAMPLES 5
    MEMORY USAGE i SAMPLES x
    MEMORY USAGE i SAMPLES -1
    MEMORY USAGE i SAMPLES
    MEMORY USAGE i NOSUCH 1
    MEMORY USAGE i NOSUCH
  `,
  "longest common subsequences": `
    MSET a ohmytext b mynewtext
    LCS a b
    LCS a b LEN
    LCS a b IDX
    LCS a b IDX MINMATCHLEN 4
    LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN
    LCS a b IDX WITHMATCHLEN
    LCS a b IDX LEN
    LCS a b NOSUCH
    LCS a b MINMATCHLEN
    LCS a b MINMATCHLEN x
    LCS a b MINMATCHLEN -1 IDX
    LCS a none
    LCS none nope IDX
    LCS a a IDX WITHMATCHLEN
    LCS a
    MSET c abcabcabd d badcabcbad
    LCS c d
    LCS c d IDX WITHMATCHLEN
    LCS d c IDX
  `,
  transactions: `
    EXEC
    DISCARD
    MULTI
    EXEC
    MULTI
    SET a 1
    INCR a
    GET a
    MGET a none
    INCR
    EXEC
    GET a
    MULTI
    SET a 1
    INCR a
    GET a
    MGET a none
    SET s text
    INCR s
    TYPE s
    PING
    TTL a
    HELLO 9
    EXEC
    GET a
    MULTI
    SET a 5
    DISCARD
    GET a
    MULTI
    MULTI
    SET x 1
    EXEC
    GET x
    MULTI
    NOSUCH
    SET x 2
    EXEC
    GET x
    MULTI
    EXEC x
    SET x 3
    EXEC
    GET x
    MULTI
    DISCARD x
    EXEC
    MULTI
    CLIENT NOSUCH
    EXEC
    MULTI
    KEYS *
    SCAN x
    GETRANGE a 0 0
    SET a 1 EX 0
    SET a 1 NX XX
    RENAME none x
    ~ EXEC
    MULTI
    FLUSHALL
    DBSIZE
    EXEC
    MULTI
    SHUTDOWN
    EXEC
    MULTI
    ECHO a
    RESET
    EXEC
  `,
  "watched keys": `
    WATCH
    WATCH a
    MULTI
    WATCH b
    SET a 1
    EXEC
    WATCH a
    SET a 2
    MULTI
    SET a 3
    EXEC
    GET a
    MULTI
    SET a 3
    EXEC
    GET a
    WATCH a b
    UNWATCH
    SET a 4
    MULTI
    GET a
    EXEC
    WATCH none
    SET none 1
    MULTI
    GET none
    EXEC
    WATCH none
    DEL none
    MULTI
    GET a
    EXEC
    WATCH gone
    DEL gone
    MULTI
    GET a
    EXEC
    WATCH a
    SET a 9
    MULTI
    NOSUCH
    EXEC
    WATCH a
    SET a 9
    MULTI
    DISCARD
    MULTI
    GET a
    EXEC
    WATCH a
    INCR a
    MULTI
    UNWATCH
    EXEC
    WATCH a
    GET a
    EXPIRE none 5
    MULTI
    GET a
    EXEC
  `,
  "waiting for peers": `
    WAIT 0 0
    WAIT 0 10
    WAIT x 0
    WAIT 0 x
    WAIT 0 -1
    WAIT 0
    MULTI
    WAIT 0 0
    EXEC
  `,
  reset: `
    CLIENT SETNAME worker
    MULTI
    SET a 1
    RESET
    EXEC
    CLIENT GETNAME
    RESET x
    GET a
  `,
  "asking about commands": `
    COMMAND INFO nosuch
    COMMAND INFO nosuch "client|nosuch"
    COMMAND DOCS nosuch
    COMMAND LIST FILTERBY MODULE nosuch
    COMMAND LIST FILTERBY NOSUCH x
    COMMAND LIST FILTERBY
    COMMAND LIST FILTERBY PATTERN xyz*
    ~ COMMAND LIST FILTERBY PATTERN getr*
    ~ COMMAND LIST FILTERBY PATTERN GETR*
    ~ COMMAND LIST FILTERBY PATTERN object|f*
    COMMAND LIST NOSUCH
    CONFIG GET nosuch
    CONFIG GET databases
    CONFIG GET DATA*
    CONFIG GET save
    INFO nosuch
    INFO nosuch nosuch2
  `,
};

/** The same where a password is set, by a connection that has yet to log in: Redis's is `secret`. */
export const passwordScript = `
  PING
  GET a
  NOSUCH
  GET
  HELLO
  HELLO 2
  HELLO x
  HELLO 2 AUTH default wrong
  HELLO 2 AUTH nosuch secret
  HELLO 2 SETNAME early
  CLIENT GETNAME
  MULTI
  EXEC
  AUTH wrong
  AUTH default wrong
  AUTH nosuch secret
  AUTH a b c
  GET a
  AUTH default secret
  GET a
  CLIENT GETNAME
  AUTH wrong
  GET a
  RESET
  GET a
  AUTH secret
  PING
  QUIT
`;
