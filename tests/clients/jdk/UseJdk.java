import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;

/** The client that comes with Java, as it is: it would rather speak HTTP/2, and asks for that with whatever it sends. */
public class UseJdk {
  static String base;

  public static void main(String[] arguments) throws Exception {
    base = arguments[0];
    var made = said("POST", "Patient", "{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"Jdk\"}]}");
    System.out.println("created=" + made.statusCode());
    var id = made.headers().firstValue("location").get().replaceAll(".*/Patient/([^/]+).*", "$1");
    var body = "{\"resourceType\":\"Patient\",\"id\":\"" + id + "\",\"gender\":\"female\"}";
    System.out.println("updated=" + said("PUT", "Patient/" + id, body).statusCode());
    System.out.println("read=" + said("GET", "Patient/" + id, null).body().contains("female"));
    System.out.println("large=" + said("POST", "Patient", large()).statusCode());
    System.out.println("deleted=" + said("DELETE", "Patient/" + id, null).statusCode());
  }

  static String large() {
    return "{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"" + "x".repeat(900_000) + "\"}]}";
  }

  /** Each by a client of its own, whose first request it is. */
  static HttpResponse<String> said(String method, String path, String body) throws Exception {
    var content = body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body);
    var request = HttpRequest.newBuilder(URI.create(base + "/" + path))
        .header("Content-Type", "application/fhir+json").method(method, content).build();
    return HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
  }
}
