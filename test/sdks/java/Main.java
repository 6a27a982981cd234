// The official Dapr Java SDK, unmodified, as client (gRPC, invocation over HTTP) and as app over the protocol that PROTOCOL
// names.

import static java.nio.charset.StandardCharsets.UTF_8;

import io.dapr.client.DaprClient;
import io.dapr.client.DaprClientBuilder;
import io.dapr.client.DaprPreviewClient;
import io.dapr.client.Subscription;
import io.dapr.client.SubscriptionListener;
import io.dapr.client.domain.CloudEvent;
import io.dapr.client.domain.DaprMetadata;
import io.dapr.client.domain.DecryptRequestAlpha1;
import io.dapr.client.domain.EncryptRequestAlpha1;
import io.dapr.client.domain.HttpExtension;
import io.dapr.client.domain.PublishEventRequest;
import io.dapr.client.domain.State;
import io.dapr.client.domain.StateOptions;
import io.dapr.client.domain.TransactionalStateOperation;
import io.dapr.client.domain.TransactionalStateOperation.OperationType;
import io.dapr.client.domain.UnlockResponseStatus;
import io.dapr.utils.TypeRef;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import reactor.core.Disposable;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

public final class Main {
  private static final String STORE = "statestore";
  private static final StateOptions FIRST_WRITE =
      new StateOptions(StateOptions.Consistency.STRONG, StateOptions.Concurrency.FIRST_WRITE);
  private static DaprClient client;
  private static DaprPreviewClient preview;

  private Main() {}

  public record Order(int order) {}

  public static void main(String[] args) throws Exception {
    int port = Integer.parseInt(System.getenv("APP_PORT"));
    if (System.getenv("PROTOCOL").equals("http")) HttpApp.start(port);
    else GrpcApp.start(port);
    System.in.read();
    client = new DaprClientBuilder().build();
    preview = new DaprClientBuilder().buildPreviewClient();
    client.waitForSidecar(10_000).block();
    state();
    pubsub();
    streams();
    calls();
    blocks();
    cryptography();
    System.out.println("done");
    System.exit(0);
  }

  private static String value(String key) {
    return client.getState(STORE, key, String.class).block().getValue();
  }

  private static void state() {
    Checks.check("state: save, get, delete", () -> {
      client.saveState(STORE, "one", new Order(1)).block();
      Checks.equal(client.getState(STORE, "one", Order.class).block().getValue(), new Order(1));
      client.deleteState(STORE, "one").block();
      Checks.equal(client.getState(STORE, "one", Order.class).block().getValue(), null);
    });
    Checks.check("state: bulk save and get", () -> {
      List<State<?>> items = new ArrayList<>();
      for (int n = 0; n < 20; n++) items.add(new State<>("bulk-" + n, n, ""));
      client.saveBulkState(STORE, items).block();
      List<String> keys = items.stream().map(State::getKey).toList();
      List<State<Integer>> found = client.getBulkState(STORE, keys, Integer.class).block();
      Checks.equal(found.size(), 20);
      for (State<Integer> item : found) Checks.equal(item.getKey(), "bulk-" + item.getValue());
    });
    Checks.check("state: etag", () -> {
      client.saveState(STORE, "tagged", "a").block();
      String first = client.getState(STORE, "tagged", String.class).block().getEtag();
      client.saveState(STORE, "tagged", first, "b", FIRST_WRITE).block();
      Checks.fails("etag", () -> client.saveState(STORE, "tagged", first, "c", FIRST_WRITE).block());
      Checks.fails("etag", () -> client.deleteState(STORE, "tagged", first, FIRST_WRITE).block());
      State<String> second = client.getState(STORE, "tagged", String.class).block();
      Checks.equal(second.getValue(), "b");
      client.deleteState(STORE, "tagged", second.getEtag(), FIRST_WRITE).block();
      Checks.equal(value("tagged"), null);
    });
    Checks.check("state: time to live", () -> {
      client.saveState(STORE, "brief", null, "here", Map.of("ttlInSeconds", "1"), null).block();
      Checks.equal(value("brief"), "here");
      Checks.until("its end", () -> value("brief") == null);
    });
    Checks.check("state: transaction", () -> {
      client.saveState(STORE, "old", "x").block();
      client.executeStateTransaction(STORE, List.of(
          new TransactionalStateOperation<>(OperationType.UPSERT, new State<>("new", "3", "")),
          new TransactionalStateOperation<>(OperationType.DELETE, new State<>("old")))).block();
      Checks.equal(value("new"), "3");
      Checks.equal(value("old"), null);
    });
    Checks.check("state: errors", () -> {
      Checks.fails("nowhere", () -> client.saveState("nowhere", "a", "b").block());
      Checks.fails("nowhere", () -> client.getState("nowhere", "a", String.class).block());
    });
  }

  private static void publish(String topic, Object data, String contentType) {
    client.publishEvent(new PublishEventRequest("pubsub", topic, data).setContentType(contentType)).block();
  }

  private static byte[] cloudEvent(String type) {
    String text = "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"sdk\",\"type\":\"%s\","
        + "\"datacontenttype\":\"application/json\",\"data\":{\"order\":7}}";
    return text.formatted(type, type).getBytes(UTF_8);
  }

  private static void pubsub() {
    Checks.check("publish and subscribe", () -> {
      client.publishEvent("pubsub", "orders", new Order(1)).block();
      Checks.until("the order", () -> Checks.heard("orders").size() == 1);
      Checks.equal(Checks.heard("orders"), List.of("{\"order\":1}"));
      Checks.fails("nowhere", () -> client.publishEvent("nowhere", "orders", "a").block());
    });
    Checks.check("publish a cloud event", () -> {
      publish("orders", cloudEvent("own"), "application/cloudevents+json");
      Checks.until("the order", () -> Checks.heard("orders").size() == 2);
      Checks.equal(Checks.heard("orders").get(1), "{\"order\":7}");
    });
    Checks.check("publish and subscribe raw", () -> {
      client.publishEvent("pubsub", "raw", "celsius".getBytes(UTF_8), Map.of("rawPayload", "true")).block();
      Checks.until("the reading", () -> Checks.heard("raw").size() == 1);
      Checks.equal(Checks.heard("raw").get(0).contains("celsius"), true);
    });
    Checks.check("publish in bulk", () -> {
      List<Order> orders = new ArrayList<>();
      for (int n = 0; n < 10; n++) orders.add(new Order(n));
      var answer = client.publishEvents("pubsub", "many", "application/json", orders).block();
      Checks.equal(answer.getFailedEntries(), List.of());
      Checks.until("all of them", () -> Checks.heard("many").size() == 10);
      Checks.equal(Checks.heard("many").contains("{\"order\":9}"), true);
    });
    Checks.check("subscribe with rules", () -> {
      publish("routed", cloudEvent("big"), "application/cloudevents+json");
      publish("routed", cloudEvent("other"), "application/cloudevents+json");
      Checks.until("the big one", () -> Checks.heard("big").size() == 1);
      Checks.until("the other", () -> Checks.heard("small").size() == 1);
    });
    Checks.check("retry and dead letter", () -> {
      client.publishEvent("pubsub", "retried", "1").block();
      client.publishEvent("pubsub", "dropped", "2").block();
      Checks.until("the third try", () -> Checks.heard("retried").size() == 3);
      Checks.until("the dead letter", () -> Checks.heard("dead").size() == 1);
    });
  }

  private static void streams() {
    Checks.check("subscribe by a stream", () -> {
      SubscriptionListener<Order> listener = new SubscriptionListener<>() {
        @Override
        public Mono<Status> onEvent(CloudEvent<Order> event) {
          Checks.heard("streamed").add(String.valueOf(event.getData().order()));
          return Mono.just(Checks.heard("streamed").size() == 1 ? Status.RETRY : Status.SUCCESS);
        }

        @Override
        public void onError(RuntimeException error) {
          Checks.heard("errors").add(error.toString());
        }
      };
      try (Subscription<Order> ignored =
          preview.subscribeToEvents("pubsub", "streamed", listener, TypeRef.get(Order.class))) {
        // The call does not say when the stream is open.
        Checks.until("the stream", () -> client.getMetadata().block().getSubscriptions().stream()
            .anyMatch(subscription -> subscription.getTopic().equals("streamed")));
        client.publishEvent("pubsub", "streamed", new Order(5)).block();
        Checks.until("it twice", () -> Checks.heard("streamed").size() == 2);
      }
      Checks.equal(Checks.heard("streamed"), List.of("5", "5"));
      Checks.equal(Checks.heard("errors"), List.of());
    });
    Checks.check("subscribe by a flux", () -> {
      Disposable flux = preview.subscribeToTopic("pubsub", "flowing", TypeRef.get(Order.class))
          .subscribe(order -> Checks.heard("flowing").add(order.toString()));
      Checks.until("the stream", () -> client.getMetadata().block().getSubscriptions().stream()
          .anyMatch(subscription -> subscription.getTopic().equals("flowing")));
      client.publishEvent("pubsub", "flowing", new Order(6)).block();
      Checks.until("the order", () -> Checks.heard("flowing").size() == 1);
      flux.dispose();
    });
  }

  private static void calls() {
    Checks.check("invoke", () -> {
      byte[] body = "{\"n\":21}".getBytes(UTF_8);
      byte[] twice = client.invokeMethod("sdk-app", "double", body, HttpExtension.POST, Map.of()).block();
      Checks.equal(new String(twice, UTF_8), "{\"twice\":42}");
      Map<String, List<String>> who = Map.of("who", List.of("me"));
      HttpExtension get = new HttpExtension(HttpExtension.GET.getMethod(), who, Map.of());
      Checks.equal(client.invokeMethod("sdk-app", "hello", null, get, String.class).block(), "who=me");
      Checks.fails("", () -> client.invokeMethod("sdk-app", "not-there", null, HttpExtension.POST).block());
      Checks.fails("", () -> client.invokeMethod("nobody", "hello", null, HttpExtension.POST).block());
    });
    Checks.check("bindings: output", () -> {
      Map<String, String> name = Map.of("fileName", "java-" + System.getenv("PROTOCOL") + ".txt");
      client.invokeBinding("files", "create", "hello".getBytes(UTF_8), name).block();
      byte[] read = client.invokeBinding("files", "get", new byte[0], name).block();
      Checks.equal(new String(read, UTF_8), "hello");
      client.invokeBinding("files", "delete", new byte[0], name).block();
      Checks.fails("", () -> client.invokeBinding("files", "get", new byte[0], name).block());
    });
    Checks.check("bindings: input", () -> Checks.until("a tick", () -> !Checks.heard("tick").isEmpty()));
    Checks.check("bindings: output comes back as input", "mqtt", () -> {
      client.invokeBinding("reports", "create", new Order(8)).block();
      Checks.until("the report", () -> !Checks.heard("reports").isEmpty());
      Checks.equal(Checks.heard("reports"), List.of("{\"order\":8}"));
    });
  }

  private static void blocks() {
    Checks.check("secrets", () -> {
      Checks.equal(client.getSecret("env-secrets", "SDK_SECRET").block(), Map.of("SDK_SECRET", "shh"));
      Checks.equal(client.getSecret("file-secrets", "nested:key").block(), Map.of("nested:key", "deep"));
      Checks.equal(client.getBulkSecret("file-secrets").block().get("flat"), Map.of("flat", "shallow"));
      Checks.fails("nowhere", () -> client.getSecret("nowhere", "a").block());
    });
    Checks.check("configuration: get and subscribe", "configuration", () -> {
      Checks.equal(client.getConfiguration("config", "limit").block().getValue(), "10");
      Set<String> seen = ConcurrentHashMap.newKeySet();
      Set<String> ids = ConcurrentHashMap.newKeySet();
      client.subscribeConfiguration("config", "ticker").subscribe(answer -> {
        ids.add(answer.getSubscriptionId());
        answer.getItems().values().forEach(item -> seen.add(item.getValue()));
      });
      Checks.until("two changes", () -> seen.size() >= 2);
      Checks.equal(client.unsubscribeConfiguration(ids.iterator().next(), "config").block().getIsUnsubscribed(), true);
    });
    Checks.check("lock", "lock", () -> {
      Checks.equal(preview.tryLock("locks", "door", "me", 30).block(), true);
      Checks.equal(preview.tryLock("locks", "door", "you", 30).block(), false);
      Checks.equal(preview.unlock("locks", "door", "you").block(), UnlockResponseStatus.LOCK_BELONG_TO_OTHERS);
      Checks.equal(preview.unlock("locks", "door", "me").block(), UnlockResponseStatus.SUCCESS);
      Checks.equal(preview.unlock("locks", "door", "me").block(), UnlockResponseStatus.LOCK_UNEXIST);
    });
    Checks.check("metadata", () -> {
      DaprMetadata found = client.getMetadata().block();
      Checks.equal(found.getId(), "sdk-app");
      Checks.equal(found.getComponents().stream().anyMatch(one -> one.getName().equals(STORE)), true);
      Checks.equal(found.getSubscriptions().size() >= 7, true);
    });
  }

  private static byte[] join(Flux<byte[]> parts) {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    parts.doOnNext(all::writeBytes).blockLast();
    return all.toByteArray();
  }

  private static void cryptography() {
    for (String[] pair : new String[][] {{"rsa.pem", "RSA"}, {"aes.key", "AES"}}) {
      Checks.check("cryptography: " + pair[1], () -> {
        byte[] plain = new byte[100_000];
        new Random(1).nextBytes(plain);
        Flux<byte[]> parts = Flux.range(0, 10).map(n -> Arrays.copyOfRange(plain, n * 10_000, (n + 1) * 10_000));
        byte[] sealed = join(preview.encrypt(new EncryptRequestAlpha1("crypto", parts, pair[0], pair[1])));
        Checks.equal(Arrays.equals(sealed, plain), false);
        byte[] opened = join(preview.decrypt(new DecryptRequestAlpha1("crypto", Flux.just(sealed))));
        Checks.equal(Arrays.equals(opened, plain), true);
      });
    }
  }
}
