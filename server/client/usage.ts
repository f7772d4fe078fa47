// How a front end in TypeScript uses the client. It is compiled when the types are made:
// what it must not be able to write is marked, and an error there is expected.
import { Client, ConnectionError, ProblemError, type Exchange, type Message } from './client.js';

export async function chat(show: (text: string) => void, signal: AbortSignal): Promise<string> {
  const parley = new Client({ base: 'https://chat.example', token: async () => 'token', onExchange: (e: Exchange) => show(`${e.status} ${e.timing.store ?? '-'}`) });
  const { conversationId, messages } = await parley.start();
  messages.forEach((m: Message) => show(m.text ?? m.kind));
  try {
    const answer = await parley.send({ conversationId, text: 'hello', workflowContext: { step: 'ask', collectedData: { size: 3 } } }, { signal, onDelta: (d) => show(d.text) });
    await parley.cardAction({ conversationId, cardId: 'c', userSummary: 'Yes', submitData: { action: 'Action.Submit', date: '2026-01-01' } });
    for (const c of (await parley.list({ limit: 10 })).conversations) show(c.status);
    await parley.setStatus(conversationId, 'completed');
    await parley.delete(conversationId);
    return answer.workflowState.status;
  } catch (error) {
    if (error instanceof ProblemError && error.class === 'store_unreachable') return error.problem.message;
    if (error instanceof ConnectionError) return `offline, again in ${error.retryAfter ?? 0} ms`;
    throw error;
  }
}

export function wrong(parley: Client, error: ProblemError): void {
  // @ts-expect-error: a text is needed
  void parley.send({ conversationId: 'x' });
  // @ts-expect-error: no conversation can be made active
  void parley.setStatus('x', 'active');
  // @ts-expect-error: there is no such class
  if (error.class === 'store_unreachabel') return;
}
