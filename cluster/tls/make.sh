#!/bin/sh
# Make certificates for a scheduler, its workers and its clients, and the authority that signs them:
#     cluster/tls/make.sh DIR [DAYS [WHERE]]
# WHERE is the path that DIR will have on the machines, if it is another one. Again on the same DIR: new certificates
# of the same authority. Needs openssl, nothing else.
set -eu
umask 077
dir=${1:?usage: make.sh DIR [DAYS [WHERE]]} days=${2:-365}
mkdir -p "$dir"
cd "$dir"
where=${3:-$(pwd)}

# Dask asks who signed a certificate, and nothing else: whatever this authority signs may run code on the cluster.
if ! [ -e ca.key ]; then
    cat > ca.cnf <<EOF
[req]
distinguished_name = name
prompt = no
x509_extensions = authority
[name]
CN = us8k cluster
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
EOF
    openssl ecparam -genkey -name prime256v1 -noout -out ca.key
    openssl req -x509 -new -sha256 -key ca.key -config ca.cnf -days 3650 -out ca.pem
    rm ca.cnf
fi

settings() { # FOLDER ROLE...: what Dask is to read where DASK_CONFIG is that folder of WHERE
    folder=$1
    shift
    {
        echo "distributed:"
        echo "  comm:"
        echo "    require-encryption: true"
        echo "    tls:"
        echo "      ca-file: '$where${folder:+/$folder}/ca.pem'"
        for role in "$@"; do
            echo "      $role:"
            echo "        cert: '$where/$role/cert.pem'"
            echo "        key: '$where/$role/key.pem'"
        done
    } > "./$folder/dask.yaml"
}

for role in scheduler worker client; do
    # A client never answers calls, so that a stolen client's certificate cannot pose as a scheduler.
    use=serverAuth,clientAuth
    [ $role = client ] && use=clientAuth
    mkdir -p $role
    openssl ecparam -genkey -name prime256v1 -noout -out $role/key.pem
    openssl req -new -sha256 -key $role/key.pem -subj "/CN=us8k $role" -out $role/request.pem
    cat > $role/extensions.cnf <<EOF
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = $use
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
EOF
    openssl x509 -req -sha256 -in $role/request.pem -CA ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 16)" \
        -days "$days" -extfile $role/extensions.cnf -out $role/cert.pem 2> /dev/null
    rm $role/request.pem $role/extensions.cnf
    cp ca.pem $role/ca.pem
    settings $role $role
done
settings "" scheduler worker client
echo "$1: scheduler, worker and client hold what each of them needs; ca.key stays here and goes nowhere"
