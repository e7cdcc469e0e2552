import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.api.CacheControlDirective;
import ca.uhn.fhir.rest.api.Constants;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.api.SearchStyleEnum;
import ca.uhn.fhir.rest.api.SearchTotalModeEnum;
import ca.uhn.fhir.rest.api.SummaryEnum;
import ca.uhn.fhir.rest.client.api.IGenericClient;
import ca.uhn.fhir.rest.gclient.ReferenceClientParam;
import ca.uhn.fhir.rest.gclient.StringClientParam;
import ca.uhn.fhir.rest.gclient.TokenClientParam;
import ca.uhn.fhir.rest.server.exceptions.BaseServerResponseException;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.hl7.fhir.instance.model.api.IBaseBundle;
import org.hl7.fhir.r4.model.*;

/** HAPI's client as its users write it; each line that it prints is a name, "=", and what came back. */
public class UseHapi {
  private static IGenericClient client;

  public static void main(String[] arguments) {
    FhirContext fhir = FhirContext.forR4();
    fhir.getRestfulClientFactory().setSocketTimeout(20000); // and GET /metadata before anything else
    client = fhir.newRestfulGenericClient(arguments[0]);
    searches();
    writes();
    conditions();
    bundles();
  }

  private static void searches() {
    Bundle open = client.search().forResource(Task.class)
        .where(Task.STATUS.exactly().codes("requested", "accepted"))
        .and(Task.OWNER.hasChainedProperty("Organization", Organization.NAME.matches().value("nor")))
        .include(Task.INCLUDE_OWNER).include(Task.INCLUDE_SUBJECT.asRecursive())
        .sort().descending(Constants.PARAM_LASTUPDATED)
        .returnBundle(Bundle.class).execute();
    said("open", ids(open));
    said("not", ids(client.search().forResource("Task")
        .where(new TokenClientParam("status:not").exactly().code("completed"))
        .and(Task.PATIENT.hasId("rosa")).and(Task.OWNER.hasId("Organization/north"))
        .returnBundle(Bundle.class).execute()));
    Bundle page = client.search().forResource(Task.class).count(1)
        .totalMode(SearchTotalModeEnum.ACCURATE).returnBundle(Bundle.class).execute();
    List<String> walked = new ArrayList<>(List.of(ids(page)));
    while (page.getLink(IBaseBundle.LINK_NEXT) != null) {
      page = client.loadPage().next(page).execute();
      walked.add(ids(page));
    }
    said("pages", String.join(" ", walked));
    said("total", page.getTotal());
    said("back", ids(client.loadPage().previous(page).execute()));
    said("posted", ids(client.search().forResource(Task.class).where(Task.STATUS.exactly().code("completed"))
        .usingStyle(SearchStyleEnum.POST).returnBundle(Bundle.class).execute()));
    said("get with _search", ids(client.search().forResource(Task.class)
        .where(Task.STATUS.exactly().code("completed"))
        .usingStyle(SearchStyleEnum.GET_WITH_SEARCH).returnBundle(Bundle.class).execute()));
    said("some ids", ids(client.search().forResource(Task.class)
        .where(Resource.RES_ID.exactly().codes("t0", "t3"))
        .returnBundle(Bundle.class).execute()));
    said("escaped", ids(client.search().forResource(Task.class)
        .where(new TokenClientParam("_id").exactly().code("t0,t3"))
        .returnBundle(Bundle.class).execute()));
    said("by url", ids(client.search().byUrl("Task?status=accepted&_include=Task:owner")
        .returnBundle(Bundle.class).execute()));
    said("has", ids(client.search().forResource(Patient.class)
        .where(new TokenClientParam("_has:Task:patient:status").exactly().code("accepted"))
        .returnBundle(Bundle.class).execute()));
    said("missing", ids(client.search().forResource(Task.class).where(Task.FOCUS.isMissing(true))
        .and(new ReferenceClientParam("requester").isMissing(true)).and(Task.INTENT.exactly().code("order"))
        .count(1).returnBundle(Bundle.class).execute()));
    said("revinclude", ids(client.search().forResource(Organization.class).where(Resource.RES_ID.exactly().code("north"))
        .revInclude(Task.INCLUDE_OWNER).returnBundle(Bundle.class).execute()));
    said("elements", client.search().forResource(Task.class).where(Resource.RES_ID.exactly().code("t0"))
        .elementsSubset("status").returnBundle(Bundle.class).execute()
        .getEntryFirstRep().getResource().getMeta().getTagFirstRep().getCode());
    said("counted", client.search().forResource(Task.class).summaryMode(SummaryEnum.COUNT)
        .returnBundle(Bundle.class).execute().getTotal());
    said("fresh", ids(client.search().forResource(Task.class).where(Resource.RES_ID.exactly().code("t1"))
        .cacheControl(new CacheControlDirective().setNoCache(true)).returnBundle(Bundle.class).execute()));
    said("strict", status(() -> client.search().forResource(Task.class)
        .where(new StringClientParam("colour").matches().value("red")).returnBundle(Bundle.class).execute()));
    client.setEncoding(EncodingEnum.JSON); // adds _format=json
    said("format", ids(client.search().forResource(Task.class).where(Task.STATUS.exactly().code("accepted"))
        .returnBundle(Bundle.class).execute()));
    client.setEncoding(null);
  }

  private static void writes() {
    Patient child = new Patient();
    child.addName().setFamily("Hapi").addGiven("Luz");
    MethodOutcome made = client.create().resource(child).execute();
    said("created", made.getCreated() + " " + made.getId().getVersionIdPart());
    String id = made.getId().getIdPart();
    child = (Patient) client.read().resource(Patient.class).withId(id).execute();
    child.setGender(Enumerations.AdministrativeGender.FEMALE);
    said("updated", client.update().resource(child).execute().getId().getVersionIdPart());
    said("patched", client.patch()
        .withBody("[{\"op\":\"replace\",\"path\":\"/gender\",\"value\":\"male\"}]").withId("Patient/" + id)
        .execute().getId().getVersionIdPart());
    Parameters steps = new Parameters();
    Parameters.ParametersParameterComponent step = steps.addParameter().setName("operation");
    step.addPart().setName("type").setValue(new CodeType("add"));
    step.addPart().setName("path").setValue(new StringType("Patient"));
    step.addPart().setName("name").setValue(new StringType("birthDate"));
    step.addPart().setName("value").setValue(new DateType("2020-01-05"));
    said("patched by path", client.patch().withFhirPatch(steps).withId("Patient/" + id)
        .execute().getId().getVersionIdPart());
    Patient now = client.read().resource(Patient.class).withIdAndVersion(id, "4").execute();
    said("now", now.getGender().toCode() + " " + now.getBirthDateElement().getValueAsString());
    said("past", client.history().onInstance("Patient/" + id).returnBundle(Bundle.class).execute()
        .getEntry().stream().map(one -> one.getResource().getIdElement().getVersionIdPart())
        .collect(Collectors.joining()));
    said("of the type", client.history().onType(Patient.class).returnBundle(Bundle.class).count(2).execute()
        .getEntry().size());
    said("of all", client.history().onServer().returnBundle(Bundle.class).count(3).execute().getEntry().size());
    said("not modified", status(() -> client.read().resource(Patient.class).withId(id)
        .ifVersionMatches("4").throwNotModifiedException().execute()));
    said("faults", ((OperationOutcome) client.validate().resource(now).execute().getOperationOutcome()).getIssue()
        .stream().filter(one -> one.getSeverity() == OperationOutcome.IssueSeverity.ERROR).count());
    said("deleted", status(() -> client.delete().resourceById("Patient", id).execute()));
    said("gone", status(() -> client.read().resource(Patient.class).withId(id).execute()));
    said("none", status(() -> client.read().resource(Patient.class).withId("none").execute()));
  }

  private static void conditions() {
    Organization pantry = new Organization();
    pantry.setName("Pantry, east|west").addIdentifier().setSystem("http://hapi.example.org").setValue("a,b|$1");
    var named = Organization.IDENTIFIER.exactly().systemAndIdentifier("http://hapi.example.org", "a,b|$1");
    String first = client.create().resource(pantry).conditional().where(named).execute().getId().getIdPart();
    MethodOutcome again = client.create().resource(pantry).conditional().where(named).execute();
    said("once", first.equals(again.getId().getIdPart()) + " " + Boolean.TRUE.equals(again.getCreated()));
    pantry.setName("Pantry");
    said("changed", client.update().resource(pantry).conditional().where(named).execute().getId().getVersionIdPart());
    said("named", client.search().forResource(Organization.class).where(named).returnBundle(Bundle.class)
        .execute().getEntry().size());
    client.delete().resourceConditionalByType(Organization.class).where(named).execute();
    said("left", client.search().forResource(Organization.class).where(named).returnBundle(Bundle.class)
        .execute().getEntry().size());
  }

  /** What the Gravity platform does with a Task: look things up, then write all of it at once. */
  private static void bundles() {
    Bundle looked = new Bundle().setType(Bundle.BundleType.TRANSACTION);
    looked.addEntry().getRequest().setMethod(Bundle.HTTPVerb.GET).setUrl("Patient/rosa");
    looked.addEntry().getRequest().setMethod(Bundle.HTTPVerb.GET).setUrl("Task?_id=t0,t1&_include=Task:owner");
    Bundle seen = client.transaction().withBundle(looked).execute();
    said("looked", seen.getEntry().stream().map(one -> one.getResource().fhirType()).collect(Collectors.joining(" ")));

    Task task = (Task) client.search().forResource(Task.class).where(Resource.RES_ID.exactly().code("t1"))
        .returnBundle(Bundle.class).execute().getEntryFirstRep().getResource();
    task.setBusinessStatus(new CodeableConcept().setText("on its way"));
    Procedure done = new Procedure();
    done.setStatus(Procedure.ProcedureStatus.COMPLETED).setSubject(new Reference("Patient/rosa"));
    done.setId("urn:uuid:0e5d7f30-6f3c-4bb1-9e0c-1d3f6f0a2b11");
    task.addOutput().setType(new CodeableConcept().setText("resulting activity"))
        .setValue(new Reference(done.getId()));
    Bundle both = new Bundle().setType(Bundle.BundleType.TRANSACTION);
    // as it was read: absolute and with its version
    both.addEntry().setResource(task).getRequest().setMethod(Bundle.HTTPVerb.PUT).setUrl(task.getId());
    both.addEntry().setFullUrl(done.getId()).setResource(done).getRequest()
        .setMethod(Bundle.HTTPVerb.POST).setUrl("Procedure");
    Bundle written = client.transaction().withBundle(both).execute();
    said("written", written.getEntry().stream().map(one -> one.getResponse().getStatus().substring(0, 3))
        .collect(Collectors.joining(" ")));
    Task after = client.read().resource(Task.class).withId("t1").execute();
    said("output", ((Reference) after.getOutputFirstRep().getValue()).getReferenceElement().getResourceType());
    said("everything", client.operation().onInstance("Patient/rosa").named("$everything")
        .withNoParameters(Parameters.class).useHttpGet().returnResourceType(Bundle.class).execute()
        .getEntry().stream().map(one -> one.getResource().fhirType()).distinct().sorted()
        .collect(Collectors.joining(" ")));
  }

  private static String ids(Bundle bundle) {
    return bundle.getEntry().stream().map(one -> one.getResource().getIdElement().getIdPart())
        .collect(Collectors.joining(" "));
  }

  private static int status(Runnable asked) {
    try {
      asked.run();
      return 200;
    } catch (BaseServerResponseException refused) {
      return refused.getStatusCode();
    }
  }

  private static void said(String name, Object value) {
    System.out.println(name + "=" + value);
  }
}
