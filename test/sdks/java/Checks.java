// What every program of test/sdks says about itself: one line per check, and `done` when it came to its end.

import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

final class Checks {
  private static final int LIMIT_S = 20;
  private static final List<String> WITHOUT =
      List.of(Objects.requireNonNullElse(System.getenv("SDK_WITHOUT"), "").split(","));
  private static final ExecutorService WORKERS = Executors.newCachedThreadPool();

  /** What the app heard, by topic or binding. */
  static final Map<String, List<String>> HEARD = new ConcurrentHashMap<>();

  private Checks() {}

  interface Work {
    void run() throws Exception;
  }

  static List<String> heard(String name) {
    return HEARD.computeIfAbsent(name, key -> new CopyOnWriteArrayList<>());
  }

  /** Runs one check. */
  static void check(String name, Work work) {
    Future<?> attempt = WORKERS.submit(() -> {
      work.run();
      return null;
    });
    try {
      attempt.get(LIMIT_S + 5, TimeUnit.SECONDS);
      System.out.println("ok " + name);
    } catch (Exception error) {
      Throwable cause = error.getCause() == null ? error : error.getCause();
      System.out.println("not ok " + name + ": " + String.valueOf(cause).replaceAll("\\s+", " "));
    }
  }

  /** Runs one check where the sidecar has a component for its building block. */
  static void check(String name, String block, Work work) {
    if (!WITHOUT.contains(block)) check(name, work);
  }

  static void until(String what, BooleanSupplier ask) throws InterruptedException {
    long limit = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
    while (!ask.getAsBoolean()) {
      if (System.nanoTime() > limit) throw new AssertionError("waited in vain for " + what);
      Thread.sleep(20);
    }
  }

  static void equal(Object found, Object expected) {
    if (!Objects.equals(found, expected)) {
      throw new AssertionError("found " + found + ", expected " + expected);
    }
  }

  /** The work must fail with an error that says this. */
  static void fails(String part, Work work) {
    try {
      work.run();
    } catch (Exception error) {
      if (String.valueOf(error).toLowerCase().contains(part)) return;
      throw new AssertionError("the error lacks " + part + ": " + error);
    }
    throw new AssertionError("no error with " + part);
  }
}
