// The app over gRPC: the callback service that the SDK generates.

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Empty;
import io.dapr.v1.AppCallbackGrpc;
import io.dapr.v1.CommonProtos.InvokeRequest;
import io.dapr.v1.CommonProtos.InvokeResponse;
import io.dapr.v1.DaprAppCallbackProtos.BindingEventRequest;
import io.dapr.v1.DaprAppCallbackProtos.BindingEventResponse;
import io.dapr.v1.DaprAppCallbackProtos.ListInputBindingsResponse;
import io.dapr.v1.DaprAppCallbackProtos.ListTopicSubscriptionsResponse;
import io.dapr.v1.DaprAppCallbackProtos.TopicEventRequest;
import io.dapr.v1.DaprAppCallbackProtos.TopicEventResponse;
import io.dapr.v1.DaprAppCallbackProtos.TopicEventResponse.TopicEventResponseStatus;
import io.dapr.v1.DaprAppCallbackProtos.TopicRoutes;
import io.dapr.v1.DaprAppCallbackProtos.TopicRule;
import io.dapr.v1.DaprAppCallbackProtos.TopicSubscription;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;

final class GrpcApp extends AppCallbackGrpc.AppCallbackImplBase {
  static void start(int port) throws IOException {
    InetSocketAddress address = new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
    NettyServerBuilder.forAddress(address).addService(new GrpcApp()).build().start();
  }

  private static <T> void answer(StreamObserver<T> observer, T value) {
    observer.onNext(value);
    observer.onCompleted();
  }

  private static TopicSubscription.Builder topic(String name) {
    return TopicSubscription.newBuilder().setPubsubName("pubsub").setTopic(name);
  }

  @Override
  public void listTopicSubscriptions(Empty request, StreamObserver<ListTopicSubscriptionsResponse> observer) {
    TopicRule big = TopicRule.newBuilder().setMatch("event.type == \"big\"").setPath("big").build();
    TopicRoutes routes = TopicRoutes.newBuilder().addRules(big).setDefault("small").build();
    answer(observer, ListTopicSubscriptionsResponse.newBuilder()
        .addSubscriptions(topic("orders"))
        .addSubscriptions(topic("many"))
        .addSubscriptions(topic("dead"))
        .addSubscriptions(topic("raw").putMetadata("rawPayload", "true"))
        .addSubscriptions(topic("retried"))
        .addSubscriptions(topic("dropped").setDeadLetterTopic("dead"))
        .addSubscriptions(topic("routed").setRoutes(routes))
        .build());
  }

  @Override
  public void onTopicEvent(TopicEventRequest request, StreamObserver<TopicEventResponse> observer) {
    String name = request.getTopic().equals("routed") ? request.getPath() : request.getTopic();
    Checks.heard(name).add(request.getData().toStringUtf8());
    boolean again = name.equals("retried") && Checks.heard(name).size() < 3;
    TopicEventResponseStatus status = again
        ? TopicEventResponseStatus.RETRY
        : name.equals("dropped") ? TopicEventResponseStatus.DROP : TopicEventResponseStatus.SUCCESS;
    answer(observer, TopicEventResponse.newBuilder().setStatus(status).build());
  }

  @Override
  public void listInputBindings(Empty request, StreamObserver<ListInputBindingsResponse> observer) {
    answer(observer, ListInputBindingsResponse.newBuilder().addBindings("tick").addBindings("reports").build());
  }

  @Override
  public void onBindingEvent(BindingEventRequest request, StreamObserver<BindingEventResponse> observer) {
    Checks.heard(request.getName()).add(request.getData().toStringUtf8());
    answer(observer, BindingEventResponse.getDefaultInstance());
  }

  @Override
  public void onInvoke(InvokeRequest request, StreamObserver<InvokeResponse> observer) {
    String body = request.getData().getValue().toStringUtf8();
    switch (request.getMethod()) {
      case "double" -> invoked(observer, "{\"twice\":" + 2 * Integer.parseInt(body.replaceAll("\\D", "")) + "}");
      case "hello" -> invoked(observer, "\"" + request.getHttpExtension().getQuerystring() + "\"");
      default -> observer.onError(Status.UNIMPLEMENTED.asRuntimeException());
    }
  }

  private static void invoked(StreamObserver<InvokeResponse> observer, String text) {
    Any data = Any.newBuilder().setValue(ByteString.copyFromUtf8(text)).build();
    answer(observer, InvokeResponse.newBuilder().setContentType("application/json").setData(data).build());
  }
}
