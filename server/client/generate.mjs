// Makes client.d.ts from openapi.yaml, which is given, and client.js. It fails if the
// client does not go with the types. .ci/client runs it, where its packages are.
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import openapi, { astToString } from 'openapi-typescript';

const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const compile = (...args) => execFileSync(process.execPath, [tsc, ...args], { stdio: 'inherit' });

const api = astToString(await openapi(pathToFileURL(process.argv[2]), { emptyObjectsUnknown: true }));
writeFileSync('openapi.d.ts', api);
compile('-p', 'tsconfig.json');

// One file is easier to take along than two.
const client = readFileSync('made/client.d.ts', 'utf8');
const own = client.replace(/^(import type|\/\*\* @import) .*\.\/openapi\.js.*\n/gm, '');
if (own === client || own.includes('openapi.js')) throw new Error('client.d.ts does not import openapi.js as it should');
writeFileSync('client.d.ts', `// Made by make client from client.js and openapi.yaml; do not edit.\n\n${own}\n${api}`);
// The types are used as a front end uses them, without what they were made from.
rmSync('openapi.d.ts');
compile('--noEmit', '--strict', '--module', 'nodenext', '--lib', 'es2022,dom,dom.iterable', 'usage.ts');
