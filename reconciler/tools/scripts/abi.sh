# plain: what a release may need of this host.
PATH=$PATH:/usr/sbin:/sbin
echo "machine $(uname -m)"
echo "libc $(getconf GNU_LIBC_VERSION 2>/dev/null)"
ldconfig -p 2>/dev/null | sed -n 's/^\t\([^ ]*\) .*=> \(.*\)/library \1 \2/p'
# shellcheck disable=SC2012 # names of libraries
ls -l /usr/lib/*/libstdc++.so.6 /usr/lib/libstdc++.so.6 /usr/lib64/libstdc++.so.6 2>/dev/null | sed -n 's/.*-> \(.*\)/libstdcxx \1/p'
