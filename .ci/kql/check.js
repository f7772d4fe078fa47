// Has Microsoft's own parser read every query for Azure Monitor, against the columns of
// Application Insights that they use. Run at the root of the repository: make kql.
const fs = require('fs');
require('@kusto/language-service-next/bridge.min.js');
require('@kusto/language-service-next/Kusto.Language.Bridge.min.js');

const {GlobalState, KustoCode, Symbols} = Kusto.Language;
const read = (name) => fs.readFileSync('telemetry/' + name, 'utf8');

const queries = read('azure/queries.kql').split(/;\n\n/);
for (const [, block] of read('README.md').matchAll(/```kusto\n([\s\S]*?)```/g)) queries.push(...block.split(/\n\n/));
for (const rule of JSON.parse(read('azure/alerts.json')).resources)
  for (const {query} of rule.properties.criteria.allOf) queries.push(query);
for (const {content} of JSON.parse(read('azure/workbook.json')).items) if (content.query) queries.push(content.query);

const common = 'timestamp:datetime,name:string,operation_Id:string,cloud_RoleName:string,customDimensions:dynamic';
const tables = {
  requests: 'resultCode:string,success:bool,duration:real,url:string',
  dependencies: 'type:string,target:string,resultCode:string,success:bool,duration:real',
  traces: 'message:string,severityLevel:int',
  exceptions: 'problemId:string,outerMessage:string',
  customMetrics: 'value:real,valueSum:real,valueCount:int,valueMin:real,valueMax:real',
};
const members = new (System.Collections.Generic.List$1(Symbols.Symbol).ctor)();
for (const [name, columns] of Object.entries(tables)) members.add(Symbols.TableSymbol.From(`(${common},${columns})`).WithName(name));
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor('app').AddMembers(members));

const problems = (query) => {
  const found = KustoCode.ParseAndAnalyze(query, globals).GetDiagnostics();
  return Array.from({length: found.Count}, (_, i) => found.getItem(i).Message);
};
// A check that takes everything would be none.
if (problems('requests | where nosuch == 1').length === 0) throw new Error('a query with an unknown column was taken');
let failed = false;
for (const query of queries)
  for (const problem of problems(query)) {
    failed = true;
    console.error(`${problem}\n${query}\n`);
  }
console.log(`${queries.length} queries read`);
process.exit(failed ? 1 : 0);
