// SPDX-License-Identifier: LGPL-2.1-or-later

// A control plane on a gRPC stack that is not Go's: grpc-js. It speaks ADS, state of the world only, and
// ends streams with trailers and without resetting them.
//
//     other.js ADDRESS JOURNAL    lines of JSON on standard input:
//         {"set": {"clusters": [...], "endpoints": [...]}}    what is served from now on
//         {"end": CODE}                                       all streams end with that status
// Requests are noted in the file JOURNAL, a line each. Prints "ready"; ends with its input.
'use strict';
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');

const [address, journal] = process.argv.slice(2);
const deps = path.join(path.dirname(require.resolve('@grpc/grpc-js-xds/package.json')), 'deps');
const includeDirs = ['envoy-api', 'googleapis', 'protoc-gen-validate', 'xds'].map((d) => path.join(deps, d));
const ads = loader.loadSync('envoy/service/discovery/v3/ads.proto', {keepCase: true, includeDirs});
const root = new protobuf.Root();
root.resolvePath = (_, file) => includeDirs.map((d) => path.join(d, file)).find(fs.existsSync) ?? file;
root.loadSync(['envoy/config/endpoint/v3/endpoint.proto', 'envoy/config/cluster/v3/cluster.proto'],
              {keepCase: true});
const types = {clusters: 'envoy.config.cluster.v3.Cluster',
               endpoints: 'envoy.config.endpoint.v3.ClusterLoadAssignment'};
const served = {clusters: new Map(), endpoints: new Map()};
const streams = new Set();
let version = 0;

function answer(stream, short) {
    const {names} = stream.asked[short];
    const type_url = `type.googleapis.com/${types[short]}`;
    const resources = [...served[short]].filter(([name]) => !names.length || names.includes(name))
        .map(([, value]) => ({type_url, value}));
    stream.call.write({version_info: String(version), nonce: String(++stream.nonce), type_url, resources});
}

function StreamAggregatedResources(call) {
    const stream = {call, asked: {}, nonce: 0};
    streams.add(stream);
    call.on('data', (request) => {
        fs.appendFileSync(journal, JSON.stringify(request) + '\n');
        const short = Object.keys(types).find((s) => request.type_url.endsWith(types[s]));
        if (!short)
            return;
        const names = request.resource_names ?? [];
        const before = stream.asked[short];
        stream.asked[short] = {names};
        // What repeats the names is an ACK or a NACK.
        if (!before || names.some((name) => !before.names.includes(name)))
            answer(stream, short);
    });
    const forget = () => streams.delete(stream);
    call.on('end', () => { forget(); call.end(); }).on('cancelled', forget).on('error', forget);
}

const orders = {
    set(what) {
        version++;
        for (const [short, documents] of Object.entries(what)) {
            const type = root.lookupType(types[short]);
            served[short] = new Map(documents.map((d) => [
                d.cluster_name ?? d.name, type.encode(type.fromObject(d)).finish()]));
            streams.forEach((stream) => stream.asked[short] && answer(stream, short));
        }
    },
    end(code) {
        for (const {call} of streams)
            code ? call.emit('error', {code, details: 'told to'}) : call.end();
        streams.clear();
    },
};

const server = new grpc.Server();
const definition = grpc.loadPackageDefinition(ads).envoy.service.discovery.v3.AggregatedDiscoveryService;
server.addService(definition.service, {StreamAggregatedResources});
server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error)
        throw error;
    console.log('ready');
});
readline.createInterface({input: process.stdin}).on('line', (line) => {
    for (const [name, value] of Object.entries(JSON.parse(line)))
        orders[name](value);
    console.log('done');
}).on('close', () => process.exit(0));
