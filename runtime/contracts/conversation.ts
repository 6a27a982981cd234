/** A conversation (LLM) component. Messages are kept as the API's own JSON shapes; the block validates them. */

import type { ComponentInstance } from './component.ts';

export interface ConversationMessage {
  readonly role: 'user' | 'system' | 'assistant' | 'tool' | 'developer';
  readonly name?: string;
  readonly content: readonly string[];
  readonly toolCalls?: readonly unknown[];
  readonly toolId?: string;
}

export interface ConversationRequest {
  readonly messages: readonly ConversationMessage[];
  readonly contextId?: string;
  readonly temperature?: number;
  readonly tools: readonly unknown[];
  readonly toolChoice?: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ConversationResult {
  readonly outputs: readonly {
    readonly content: string;
    readonly finishReason: string;
    readonly toolCalls?: readonly unknown[];
  }[];
  readonly contextId?: string;
  readonly model?: string;
  /** Token counts, where the component knows them. */
  readonly usage?: {
    readonly completionTokens: number;
    readonly promptTokens: number;
    readonly totalTokens: number;
  };
}

export interface Conversation extends ComponentInstance {
  converse(request: ConversationRequest, signal: AbortSignal): Promise<ConversationResult>;
}
