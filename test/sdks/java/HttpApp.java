// The app over HTTP: the JDK's server, with the SDK's CloudEvent reading what the sidecar delivers.

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.dapr.client.domain.CloudEvent;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

final class HttpApp {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String SUBSCRIPTIONS =
      """
      [{"pubsubname":"pubsub","topic":"orders","route":"/orders"},
       {"pubsubname":"pubsub","topic":"many","route":"/many"},
       {"pubsubname":"pubsub","topic":"dead","route":"/dead"},
       {"pubsubname":"pubsub","topic":"raw","route":"/raw","metadata":{"rawPayload":"true"}},
       {"pubsubname":"pubsub","topic":"retried","route":"/retried"},
       {"pubsubname":"pubsub","topic":"dropped","route":"/dropped","deadLetterTopic":"dead"},
       {"pubsubname":"pubsub","topic":"routed","routes":{
         "rules":[{"match":"event.type == \\"big\\"","path":"/big"}],"default":"/small"}}]""";

  private HttpApp() {}

  static void start(int port) throws IOException {
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
    server.setExecutor(Executors.newCachedThreadPool(task -> {
      Thread thread = new Thread(task);
      thread.setDaemon(true);
      return thread;
    }));
    server.createContext("/", HttpApp::handle);
    server.start();
  }

  private static void handle(HttpExchange exchange) throws IOException {
    byte[] body = exchange.getRequestBody().readAllBytes();
    String path = exchange.getRequestURI().getPath().substring(1);
    String answer;
    int status = 200;
    switch (path) {
      case "dapr/subscribe" -> answer = SUBSCRIPTIONS;
      case "orders", "many", "dead", "raw", "big", "small", "retried", "dropped" -> answer = event(path, body);
      case "tick", "reports" -> {
        if (exchange.getRequestMethod().equals("POST")) Checks.heard(path).add(text(body));
        answer = "{}";
      }
      case "double" -> answer = "{\"twice\":" + 2 * JSON.readTree(body).get("n").asInt() + "}";
      case "hello" -> answer = JSON.writeValueAsString(exchange.getRequestURI().getQuery());
      default -> {
        answer = "{}";
        status = 404;
      }
    }
    byte[] bytes = answer.getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().set("content-type", "application/json");
    exchange.sendResponseHeaders(status, bytes.length);
    exchange.getResponseBody().write(bytes);
    exchange.close();
  }

  private static String event(String path, byte[] body) throws IOException {
    CloudEvent<?> event = CloudEvent.deserialize(body);
    String data = event.getBinaryData() == null ? JSON.writeValueAsString(event.getData()) : text(event.getBinaryData());
    Checks.heard(path).add(data);
    boolean again = path.equals("retried") && Checks.heard(path).size() < 3;
    return "{\"status\":\"" + (again ? "RETRY" : path.equals("dropped") ? "DROP" : "SUCCESS") + "\"}";
  }

  private static String text(byte[] bytes) {
    return new String(bytes, StandardCharsets.UTF_8);
  }
}
